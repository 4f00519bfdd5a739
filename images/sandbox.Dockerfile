# A sandbox: agent server, tools, VS Code.   docker build -f images/sandbox.Dockerfile -t sandlot/sandbox:0.1.0 .
# With a browser for the agent: --build-arg EXTRA_PACKAGES=chromium
# Your own tools: FROM this image, USER 0, install, USER 10001:10001.
ARG NODE=22
FROM docker.io/library/node:${NODE}-bookworm AS build
WORKDIR /src
COPY . .
RUN npm ci && node images/assemble.mjs /app sandbox && node images/vscode.mjs /opt/vscode \
  && find /opt/vscode -type f \( -name '*.map' -o -name '*.d.ts' \) -delete

FROM docker.io/library/node:${NODE}-bookworm-slim
ARG EXTRA_PACKAGES=
COPY images/sandbox/packages /tmp/packages
RUN apt-get update && xargs apt-get install -y --no-install-recommends ${EXTRA_PACKAGES} </tmp/packages \
  && rm -rf /tmp/packages /var/lib/apt/lists/* && ln -s python3 /usr/bin/python \
  && useradd --uid 10001 --home-dir /workspace/.home --no-create-home --shell /bin/bash sandlot \
  && install -d -o 10001 -g 10001 /workspace
COPY images/sandbox/usr /usr
COPY --from=build /opt/vscode /opt/vscode
COPY --from=build /app /app
ENV NODE_ENV=production HOME=/workspace/.home LANG=C.UTF-8
WORKDIR /workspace
USER 10001:10001
EXPOSE 8000 8001 8011 8012
ENTRYPOINT ["start-sandbox"]
