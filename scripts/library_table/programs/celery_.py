import threading

import celery


def check_results(url):
    app = celery.Celery("app", broker="memory://", backend=url)
    result = app.AsyncResult("a-task")
    threading.Timer(0.2, lambda: app.backend.store_result("a-task", {"sum": 3}, "SUCCESS")).start()
    assert result.get(timeout=30) == {"sum": 3}
    app.backend.store_result("failed", ValueError("no"), "FAILURE")
    assert isinstance(app.AsyncResult("failed").get(timeout=30, propagate=False), ValueError)
    result.forget()
    assert app.AsyncResult("a-task").state == "PENDING"


def check_broker(url):
    app = celery.Celery("app", broker=url)
    app.send_task("task")
