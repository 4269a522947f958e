# The daemon, with the bundled models and without TensorFlow. docker-compose.yml starts it beside Qdrant.
#
# The base image is pinned by tag. To pin its content too, append the digest that your registry shows:
#   docker buildx imagetools inspect python:3.13-slim-trixie
FROM python:3.13-slim-trixie AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY requirements/base.txt requirements/build.txt requirements/
RUN python -m venv /opt/recq \
 && /opt/recq/bin/pip install --require-hashes --only-binary :all: -r requirements/base.txt \
 && python -m venv /opt/build \
 && /opt/build/bin/pip install --require-hashes --only-binary :all: -r requirements/build.txt
COPY pyproject.toml README.md ./
COPY recq recq
COPY ingest ingest
COPY query query
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /opt/recq/bin/pip install --no-deps --no-index /wheels/*.whl \
 && /opt/recq/bin/pip check

FROM python:3.13-slim-trixie
LABEL org.opencontainers.image.title=recq \
      org.opencontainers.image.version=0.1.0 \
      org.opencontainers.image.licenses=Apache-2.0
COPY --from=build /opt/recq /opt/recq
# Folders of the mounted volumes: a new volume takes their owner.
RUN groupadd --gid 10001 recq \
 && useradd --uid 10001 --gid recq --no-create-home --home-dir /tmp --shell /usr/sbin/nologin recq \
 && install --directory --owner recq --group recq --mode 700 /var/lib/recq /var/cache/recq
ENV PATH=/opt/recq/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    RECQ_DATA_DIR=/var/lib/recq \
    RECQ_CACHE_DIR=/var/cache/recq
USER 10001:10001
WORKDIR /tmp
ENTRYPOINT ["recq-ingest"]
CMD ["run", "/drop"]
