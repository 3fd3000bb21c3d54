# vary on a CPU, as a user without rights; the file system may be read-only, with a scratch /tmp:
#   docker build -t vary .
#   docker run --rm --read-only --tmpfs /tmp -v "$PWD:/data" -u "$(id -u):$(id -g)" vary read scan.pdf --to md -o out
#   docker run --rm --read-only --tmpfs /tmp -p 127.0.0.1:8000:8000 -e VARY_API_KEY vary serve --host 0.0.0.0
FROM python:3.12.8-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/vary
COPY pyproject.toml README.md LICENSE /src/
COPY vary /src/vary
RUN /opt/vary/bin/pip install "/src[serve]"

FROM python:3.12.8-slim-bookworm
COPY --from=build /opt/vary /opt/vary
ENV PATH=/opt/vary/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp
WORKDIR /data
USER 10001:10001
EXPOSE 8000
ENTRYPOINT ["vary"]
CMD ["--help"]
