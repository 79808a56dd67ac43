# docker build -t kvline .
# docker run --rm -p 127.0.0.1:9736:9736 -p 127.0.0.1:9780:9780 kvline
#
# Options of run_server.sh go behind the image's name: docker run … kvline --max-line 1000000

FROM python:3.13-slim AS build
RUN python -m venv /opt/kvline
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY common common
COPY client client
COPY server server
RUN /opt/kvline/bin/pip install --no-cache-dir --disable-pip-version-check '.[http,proxy]'

FROM python:3.13-slim
COPY --from=build /opt/kvline /opt/kvline
# One arena for all threads, as in run_server.sh: else the memory that one connection frees is of no use to the next.
ENV PATH=/opt/kvline/bin:$PATH \
    MALLOC_ARENA_MAX=1
# Nobody in particular, who owns no file here. A number, so that Kubernetes can see that it is not root.
USER 10001:10001
EXPOSE 9736 9780
# No proxy that the environment names stands between a server and itself.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["python", "-I", "-c", "\
from urllib.request import ProxyHandler, build_opener; \
build_opener(ProxyHandler({})).open('http://127.0.0.1:9780/healthz', timeout=2)"]
# No shell in between: SIGTERM reaches the server, which ends in good order. All addresses, for a container's own
# loopback is reached by nobody; who may reach the container is told by -p.
ENTRYPOINT ["kvline-server", "--host", "0.0.0.0", "--port", "9736", "--http-port", "9780"]
