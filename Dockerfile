# Stakeout in a small image: Debian's C library, libpcap, OpenSSL and zlib, the program, and a user without rights.
# docker build --tag stakeout .
FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev libpcap-dev libssl-dev make pkg-config zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY detectors detectors
COPY deploy/stakeout.yaml deploy/stakeout.yaml
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --bin stakeout && cp target/release/stakeout /stakeout

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libpcap0.8 libssl3 zlib1g \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 9750 --home-dir /var/lib/stakeout --create-home --shell /usr/sbin/nologin stakeout
COPY --from=build /stakeout /usr/bin/stakeout
COPY deploy/stakeout.yaml /etc/stakeout/stakeout.yaml
# Neither set-uid nor file capabilities: what it follows and what it is sent needs none.
USER stakeout
WORKDIR /var/lib/stakeout
ENV STAKEOUT_DATA_DIR=/var/lib/stakeout
VOLUME /var/lib/stakeout
EXPOSE 9750
# There is no HTTP client in the image; the shell can speak enough of it.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/9750 && printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' >&3 && read -r line <&3 && [[ $line == *' 200 '* ]]"]
# SIGTERM, docker's own choice, drains and exits 0.
STOPSIGNAL SIGTERM
ENTRYPOINT ["stakeout"]
CMD ["run", "--config", "/etc/stakeout/stakeout.yaml"]
