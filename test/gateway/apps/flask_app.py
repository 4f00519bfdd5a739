"""A login, a session in a cookie, redirects, an upload, a stream of events."""
import hashlib
import time

from flask import Flask, Response, redirect, request, session

app = Flask(__name__)
app.secret_key = "a key for tests"


@app.get("/")
def home():
    if "name" not in session:
        return redirect("/login")
    session["visits"] = session.get("visits", 0) + 1
    return f"<title>Flask</title><h1>Hello {session['name']}, visit {session['visits']}</h1>"


@app.route("/login", methods=["GET", "POST"])
def login():
    if request.method == "POST":
        session["name"] = request.form["name"]
        return redirect("/")
    return '<form method="post" action="/login"><input name="name" aria-label="Name"><button>Enter</button></form>'


@app.post("/upload")
def upload():
    digest = hashlib.sha256()
    while block := request.stream.read(65536):
        digest.update(block)
    return digest.hexdigest()


@app.get("/events")
def events():
    def produce():
        for number in range(5):
            yield f"id: {number}\ndata: event {number}\n\n"
            time.sleep(0.2)

    return Response(produce(), mimetype="text/event-stream")
