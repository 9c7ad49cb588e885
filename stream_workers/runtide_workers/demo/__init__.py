"""`runtide demo`: real models on real data through the real stack, one of them killed on purpose."""
