# SPDX-License-Identifier: MIT
#
# docker build -t dinv .
#
# Works with the classic builder and with BuildKit; needs Debian's archive and, for the Alpine base of
# the guest, Alpine's mirror (without it the guest gets Debian's busybox, which works as well).
# Building the guest's kernel takes most of the time, about 15 CPU-minutes; images/prebuilt/ may
# hold a finished one (see images/container/stage).
#
#   --build-arg PLUGINS=no   leave docker buildx and docker compose out
#   --build-arg BASE=alpine  alpine, debian or auto (images/rootfs/base --help)

ARG BASE_IMAGE=debian:trixie-slim

FROM ${BASE_IMAGE} AS build
ARG PLUGINS=yes
ARG BASE=auto
COPY . /src
RUN /src/images/container/stage /stage

FROM ${BASE_IMAGE}
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="dinv" \
    org.opencontainers.image.description="Docker in VM: a Docker engine in a microVM, in an unprivileged container" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.documentation="/usr/share/doc/dinv"
COPY --from=build /stage/ /
# For --user: what any user may be needs a place for its socket and, in a new volume, for its state.
# The same for DOCKER_TLS_CERTDIR=/certs, whose client/ is often a volume of its own.
# The group is docker:dind's, for `--group docker`; the socket has another owner unless one is named.
RUN echo docker:x:2375: >>/etc/group && chmod 1777 /run && mkdir -p /var/lib/dinv /certs/client \
    && chmod 1777 /var/lib/dinv /certs /certs/client
# What the user mounts into the container, the guest sees at the same path.
ENV DINV_MOUNTS=auto
# What docker exec runs looks there, wherever the socket is.
ENV DINV_SOCKET_LINK=/var/run/docker.sock
# Testcontainers would take docker0's address for that of published ports, which only the guest has.
ENV TESTCONTAINERS_HOST_OVERRIDE=localhost
VOLUME /var/lib/dinv
EXPOSE 2375 2376
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=20s --start-period=3m --retries=3 CMD ["dinv", "health"]
ENTRYPOINT ["dinv", "run"]
