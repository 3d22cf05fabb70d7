# syntax=docker/dockerfile:1

# The image of the service. Build it with the commit that `synapps --version` is to name:
#
#     docker build --build-arg SYNAPPS_COMMIT="$(git rev-parse --short HEAD)" --tag synapps .

FROM rust:1.95-bookworm AS build
WORKDIR /build

# The dependencies alone, below empty sources: this layer is made anew only when one of them changes.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src \
    && echo 'fn main() {}' | tee build.rs > src/main.rs \
    && touch src/lib.rs \
    && cargo build --release --locked \
    && rm -r src build.rs

COPY build.rs ./
COPY proto proto
COPY migrations migrations
COPY examples examples
COPY src src
ARG SYNAPPS_COMMIT=unknown
# Cargo goes by time stamps, and those of the sources are older than the build of the empty ones.
RUN touch build.rs src/main.rs src/lib.rs \
    && cargo build --release --locked \
    && install -D --strip target/release/synapps /out/synapps

FROM debian:bookworm-slim
# The authorities that providers, HTTP steps and the database are checked against, and the interpreter of steps in
# Python (the minimal one lacks ctypes, with which it shuts its jail from inside).
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/synapps /usr/local/bin/synapps

ARG SYNAPPS_COMMIT=unknown
LABEL org.opencontainers.image.title="synapps" \
      org.opencontainers.image.description="Durable flows of applets over gRPC, on nothing but Postgres" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.revision="$SYNAPPS_COMMIT"

# By number, so that Kubernetes can tell that it is not root.
USER 65532:65532
# Loopback would be the container itself. Until synapps can tell who is calling it listens here only
# if SYNAPPS_INSECURE=true says that this is meant, which is for whoever runs the image to say.
ENV SYNAPPS_LISTEN=0.0.0.0:50051
EXPOSE 50051
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["synapps", "health"]
ENTRYPOINT ["synapps"]
CMD ["serve"]
