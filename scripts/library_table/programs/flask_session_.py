import redis
from flask import Flask, session
from flask_session import Session


def check_sessions(url):
    app = Flask("app")
    app.config |= {"SESSION_TYPE": "redis", "SESSION_REDIS": redis.Redis.from_url(url)}
    Session(app)

    @app.route("/")
    def count():
        session["visits"] = session.get("visits", 0) + 1
        return str(session["visits"])

    client = app.test_client()
    assert [client.get("/").text for _ in range(3)] == ["1", "2", "3"]
