# The server's parts: `docker run runtide worker`, `... dashboard`, `... migrate`, any other command of `runtide`.
ARG PYTHON=3.12-slim-bookworm

FROM python:${PYTHON} AS build
WORKDIR /src
RUN python -m venv /opt/runtide
COPY requirements.lock ./
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY producer producer
COPY stream_workers stream_workers
COPY storage storage
COPY dashboard dashboard
# The lock constrains the versions; only what the extras need of it is installed.
RUN /opt/runtide/bin/pip install --no-cache-dir --constraint requirements.lock '.[server,login]'

FROM python:${PYTHON}
LABEL org.opencontainers.image.title="Runtide" \
      org.opencontainers.image.description="Worker, pages and commands of Runtide, metrics of machine-learning training" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/runtide /opt/runtide
ENV PATH=/opt/runtide/bin:$PATH PYTHONUNBUFFERED=1 RUNTIDE_HOME=/tmp/runtide HOME=/tmp
# A number, so that Kubernetes can see that it is not root. It owns nothing: all of the image is read-only to it.
USER 10001:10001
WORKDIR /tmp
ENTRYPOINT ["runtide"]
CMD ["--help"]
