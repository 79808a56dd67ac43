from flask import Flask
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address


def check_rate_limit(url):
    app = Flask("app")
    limiter = Limiter(get_remote_address, app=app, storage_uri=url, default_limits=["2 per hour"])

    @app.route("/")
    @limiter.limit("2 per hour")
    def index():
        return "ok"

    client = app.test_client()
    app.config["PROPAGATE_EXCEPTIONS"] = True
    assert [client.get("/").status_code for _ in range(3)] == [200, 200, 429]
