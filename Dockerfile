# npm run release, then: docker build -t wal-g .   (buildx sets TARGETARCH: amd64 or arm64)
FROM debian:bookworm-slim
ARG TARGETARCH=amd64
RUN apt-get update \
  && apt-get install -y --no-install-recommends ca-certificates libstdc++6 \
  && rm -rf /var/lib/apt/lists/* \
  && useradd --system --uid 999 --home-dir /var/lib/postgresql --shell /usr/sbin/nologin postgres
ADD dist/release/wal-g-pg-linux-${TARGETARCH}.tar.gz /tmp/wal-g/
RUN install -m 0755 /tmp/wal-g/wal-g /usr/local/bin/wal-g && rm -r /tmp/wal-g && wal-g --version
USER postgres
ENTRYPOINT ["wal-g"]
