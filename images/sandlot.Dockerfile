# The programs: operator, gateway, API server.   docker build -f images/sandlot.Dockerfile -t sandlot/sandlot:0.1.0 .
ARG NODE=22
FROM docker.io/library/node:${NODE}-bookworm AS build
WORKDIR /src
COPY . .
RUN npm ci && node images/assemble.mjs /app operator gateway apiserver apiserver/data

# Node and the C library, no shell.
FROM gcr.io/distroless/nodejs${NODE}-debian12
COPY --from=build /app /app
ENV NODE_ENV=production PATH=/nodejs/bin:/usr/local/bin:/usr/bin:/bin
WORKDIR /tmp
USER 10001:10001
ENTRYPOINT ["node", "/app/bin/sandlot.js"]
