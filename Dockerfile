# The server's parts: `docker run runtide worker`, `... dashboard`, `... migrate`, any other command of `runtide`.
FROM python:3.12-slim AS build
WORKDIR /src
RUN python -m venv /opt/runtide
COPY requirements.lock ./
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY producer producer
COPY stream_workers stream_workers
COPY storage storage
COPY dashboard dashboard
# The lock constrains the versions; only what the extra needs of it is installed.
RUN /opt/runtide/bin/pip install --no-cache-dir --constraint requirements.lock '.[server]'

FROM python:3.12-slim
RUN useradd --create-home --uid 10001 runtide
COPY --from=build /opt/runtide /opt/runtide
ENV PATH=/opt/runtide/bin:$PATH PYTHONUNBUFFERED=1 RUNTIDE_HOME=/tmp/runtide
USER runtide
WORKDIR /tmp
ENTRYPOINT ["runtide"]
CMD ["--help"]
