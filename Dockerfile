# docker build -t kvline .
# docker run --rm -p 127.0.0.1:9736:9736 -p 127.0.0.1:9780:9780 kvline
#
# Without a password it logs a warning. This one passes KVLINE_PASSWORD on: docker run -e KVLINE_PASSWORD … kvline
#
# The data is in a durable log on the volume /data: docker run … -v kvline-data:/data kvline
# Options of run_server.sh follow the image's name, and replace that one: docker run … kvline --data /data --fsync always

# make docker-test builds and runs this stage, and nothing else does.
FROM python:3.13-slim AS test
WORKDIR /source
COPY .ci/tools .ci/tools
RUN .ci/tools && apt-get install -y -qq --no-install-recommends make
COPY Makefile requirements.txt requirements-redis.txt ./
COPY scripts/find_python.sh scripts/find_python.sh
RUN make install
COPY . .
CMD ["make", "test"]

FROM python:3.13-slim AS build
RUN python -m venv /opt/kvline
WORKDIR /source
COPY requirements-image.lock pyproject.toml setup.py README.md LICENSE ./
# Every download has a hash in the lock file. --no-index fails if a requirement of the extras is not in it.
RUN /opt/kvline/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements-image.lock
COPY packaging packaging
COPY common common
COPY client client
COPY server server
RUN /opt/kvline/bin/pip install --no-index --no-build-isolation '.[http,proxy]' \
 && /opt/kvline/bin/pip uninstall --yes setuptools

FROM python:3.13-slim
COPY --from=build /opt/kvline /opt/kvline
# One malloc arena for all threads, as in run_server.sh.
ENV PATH=/opt/kvline/bin:$PATH \
    MALLOC_ARENA_MAX=1
# The directory of the log, for the user below. A new volume gets its owner and its mode.
RUN install -d -o 10001 -g 10001 -m 0700 /data
VOLUME /data
# A user without files. A number, because Kubernetes cannot check by a name that the user is not root.
USER 10001:10001
EXPOSE 9736 9780
# ProxyHandler({}): connect directly, even if the environment sets an HTTP proxy.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["python", "-I", "-c", "\
from urllib.request import ProxyHandler, build_opener; \
build_opener(ProxyHandler({})).open('http://127.0.0.1:9780/healthz', timeout=2)"]
# Without a shell, so that SIGTERM reaches the server, which shuts down cleanly. On all addresses, because the loopback
# of a container cannot be reached from outside. The option -p of docker run controls access.
ENTRYPOINT ["kvline-server", "--host", "0.0.0.0", "--port", "9736", "--http-port", "9780"]
# Replaced by options after the image's name, so that a server with --backend has no log.
CMD ["--data", "/data"]
