# tidegate in an image of its own: nothing but the binary and what it is linked to.
#
#   docker build -t tidegate .
#   docker run -d -p 5000:5000 -p 127.0.0.1:5001:5001 -v tidegate:/var/lib/tidegate tidegate
#
# The configuration is /etc/tidegate/proxy.toml: mount your own over it.

FROM rust:1-slim-bookworm AS build
WORKDIR /src
COPY . .
# With all features: who runs an image can't build it otherwise.
RUN cargo build --release --locked --all-features --bin tidegate \
 && deploy/bundle.sh target/release/tidegate /out

FROM scratch
COPY --from=build /out/root/ /
# A new volume takes its owner from here.
COPY --from=build --chown=65532:65532 /out/state/ /var/lib/tidegate/
ENV HOME=/var/lib/tidegate
WORKDIR /etc/tidegate
USER 65532:65532
VOLUME /var/lib/tidegate
EXPOSE 5000 5001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["/tidegate", "check", "--running"]
ENTRYPOINT ["/tidegate"]
CMD ["serve"]
