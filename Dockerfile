# The image of the command line: `docker build -t blackbox-probe .`, then `docker run --rm blackbox-probe --help`.
# Everything is installed from hash-locked files; the second stage has neither pip nor a compiler.

FROM python:3.13.7-slim-bookworm AS build

WORKDIR /src
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 UV_NO_CACHE=1 UV_NO_PROGRESS=1
COPY requirements-build.lock requirements.lock ./
RUN python -m venv /opt/tools \
    && /opt/tools/bin/python -m pip install --require-hashes -r requirements-build.lock \
    && python -m venv --without-pip /opt/probe \
    && /opt/tools/bin/uv pip install --python /opt/probe/bin/python --require-hashes --only-binary :all: \
       --compile-bytecode -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY adapters adapters
COPY storage storage
COPY probe probe
RUN /opt/tools/bin/python -m hatchling build -t wheel -d /wheels \
    && /opt/tools/bin/uv pip install --python /opt/probe/bin/python --no-deps --compile-bytecode /wheels/*.whl


FROM python:3.13.7-slim-bookworm

LABEL org.opencontainers.image.title="blackbox-probe" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --system --gid 10001 probe \
    && useradd --system --uid 10001 --gid probe --home-dir /work --create-home --shell /usr/sbin/nologin probe \
    && install -d -o probe -g probe /reports
COPY --from=build /opt/probe /opt/probe
ENV PATH=/opt/probe/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /work
# The first SIGTERM lets what is in flight be answered and recorded; see the stop grace period in docker-compose.yml.
STOPSIGNAL SIGTERM
ENTRYPOINT ["probe"]
CMD ["--help"]
