"""The official `openhands-sdk` as a client of our agent server, unchanged: what its users do, end to end.

usage: client.py SERVER_URL SESSION_KEY MODEL_URL     (the model is test/conformance/app-llm.mjs)
Ends with the line `N passed, N failed`.
"""

import sys
import tempfile
import threading
import time
import traceback
import uuid

from openhands.sdk import LLM, Agent, Conversation, Tool, Workspace
from openhands.sdk.conversation.state import ConversationExecutionStatus as Status
from openhands.sdk.event import (
    ActionEvent,
    AgentErrorEvent,
    ConversationStateUpdateEvent,
    MessageEvent,
    ObservationEvent,
    PauseEvent,
    SystemPromptEvent,
)
from openhands.sdk.security.confirmation_policy import AlwaysConfirm, NeverConfirm
from openhands.sdk.security.llm_analyzer import LLMSecurityAnalyzer
from openhands.tools.file_editor import FileEditorTool
from openhands.tools.task_tracker import TaskTrackerTool
from openhands.tools.terminal import TerminalTool

HOST, KEY, MODEL = sys.argv[1:4]
TOOLS = [Tool(name=each.name) for each in (TerminalTool, FileEditorTool, TaskTrackerTool)]
checks = []


def check(work):
    checks.append(work)
    return work


def llm(**more):
    return LLM(model="openai/scripted", base_url=MODEL, api_key="sk-scripted", usage_id="agent", num_retries=0, **more)


def workspace():
    return Workspace(host=HOST, api_key=KEY, working_dir=f"/workspace/project/{uuid.uuid4().hex}")


def conversation(callbacks=None, model=None, **more):
    agent = Agent(llm=model or llm(), tools=TOOLS)
    return Conversation(agent=agent, workspace=workspace(), callbacks=callbacks or [], visualizer=None, **more)


def of(events, kind):
    return [event for event in events if isinstance(event, kind)]


def text(observation):
    return "".join(getattr(part, "text", "") for part in observation.to_llm_content)


@check
def a_run_with_tools():
    seen = []
    talk = conversation(callbacks=[seen.append])
    folder = talk.workspace.working_dir
    talk.send_message(f"[[basic dir={folder}]]")
    talk.run(timeout=60)
    assert talk.state.execution_status == Status.FINISHED, talk.state.execution_status
    observations = of(talk.state.events, ObservationEvent)
    assert "hello-from-terminal" in text(observations[0].observation)
    assert {event.id for event in of(seen, ActionEvent)} == {event.id for event in of(talk.state.events, ActionEvent)}
    assert of(talk.state.events, SystemPromptEvent)[0].tools
    assert talk.state.agent.llm.model == "openai/scripted"
    assert talk.conversation_stats.get_combined_metrics().accumulated_token_usage.prompt_tokens >= 300
    ids = [event.id for event in talk.state.events]
    assert len(ids) == len(set(ids))
    again = Conversation(
        agent=talk.state.agent, workspace=talk.workspace, conversation_id=talk.id, visualizer=None
    )
    stored = [event.id for event in again.state.events]
    live = [event.id for event in talk.state.events if not isinstance(event, ConversationStateUpdateEvent)]
    assert [each for each in stored if each in live] == live, (stored, live)
    again.close()
    talk.close()


@check
def deltas_of_a_streaming_model():
    parts = []
    talk = conversation(model=llm(stream=True), token_callbacks=[parts.append])
    talk.send_message("say something")
    talk.run(timeout=60)
    said = of(talk.state.events, MessageEvent)[-1]
    assert said.source == "agent" and "Scripted answer" in said.llm_message.content[0].text
    assert parts, "no delta came"
    talk.close()


@check
def the_workspace():
    place = workspace()
    done = place.execute_command("echo out; echo err >&2; exit 3", timeout=20)
    assert done.exit_code == 3 and done.stdout.strip() == "out" and done.stderr.strip() == "err", done
    with tempfile.NamedTemporaryFile("wb", delete=False) as file:
        file.write(b"bytes\x00\xff")
    path = f"{place.working_dir}/sub/up.bin"
    assert place.file_upload(file.name, path).success
    assert place.file_download(path, file.name + ".back").success
    assert open(file.name + ".back", "rb").read() == b"bytes\x00\xff"
    commit = "git init -q . && git add -A && git -c user.name=a -c user.email=a@b.c commit -qm one && echo x > new.txt"
    assert place.execute_command(commit, cwd=place.working_dir).exit_code == 0
    changes = place.git_changes(place.working_dir)
    assert [change.path.name for change in changes] == ["new.txt"], changes
    assert place.git_diff(f"{place.working_dir}/new.txt").modified == "x"


@check
def confirmation():
    talk = conversation()
    talk.set_security_analyzer(LLMSecurityAnalyzer())
    talk.set_confirmation_policy(AlwaysConfirm())
    assert talk.state.confirmation_policy == AlwaysConfirm()
    talk.send_message("[[basic]]")
    talk.run(timeout=60)
    assert talk.state.execution_status == Status.WAITING_FOR_CONFIRMATION, talk.state.execution_status
    talk.reject_pending_actions("not this one")
    talk.set_confirmation_policy(NeverConfirm())
    talk.run(timeout=60)
    assert talk.state.execution_status == Status.FINISHED
    talk.close()


@check
def pause_and_go_on():
    talk = conversation()
    talk.send_message("[[slow s=4]]")
    runs = threading.Thread(target=lambda: talk.run(timeout=60))
    runs.start()
    wait(lambda: of(talk.state.events, ActionEvent))
    talk.pause()
    runs.join(30)
    assert talk.state.execution_status == Status.PAUSED, talk.state.execution_status
    wait(lambda: of(talk.state.events, PauseEvent))
    talk.run(timeout=60)
    assert talk.state.execution_status == Status.FINISHED
    talk.close()


@check
def interrupt():
    talk = conversation()
    talk.send_message("[[slow s=100]]")
    runs = threading.Thread(target=lambda: talk.run(timeout=60))
    runs.start()
    wait(lambda: of(talk.state.events, ActionEvent))
    talk.interrupt()
    runs.join(30)
    assert of(talk.state.events, AgentErrorEvent), "the open call has no end"
    talk.close()


@check
def secrets():
    talk = conversation()
    talk.update_secrets({"MY_TOKEN": "very-secret-value"})
    done = talk.workspace.execute_command("echo nothing")
    assert done.exit_code == 0
    talk.send_message("[[echo words=$MY_TOKEN]]")
    talk.run(timeout=60)
    observations = of(talk.state.events, ObservationEvent)
    assert "<secret-hidden>" in text(observations[0].observation), text(observations[0].observation)
    assert "very-secret-value" not in "".join(event.model_dump_json() for event in talk.state.events)
    talk.close()


@check
def titles_questions_and_forks():
    talk = conversation()
    talk.send_message("[[think]]")
    talk.run(timeout=60)
    assert "Scripted" in talk.ask_agent("What happened?")
    assert talk.generate_title()
    talk.set_title("mine")
    branch = talk.fork(title="branch")
    assert branch.id != talk.id
    branch.send_message("[[tasks]]")
    branch.run(timeout=60)
    assert branch.state.execution_status == Status.FINISHED
    assert len(branch.state.events) > len(talk.state.events)
    branch.close()
    talk.close()


@check
def an_error_of_the_model():
    talk = conversation()
    talk.send_message("[[error]]")
    try:
        talk.run(timeout=60)
        raise AssertionError("the error was not told")
    except Exception as error:  # the SDK wraps it in ConversationRunError
        assert "401" in str(error) or "uthenti" in str(error), error
    assert talk.state.execution_status == Status.ERROR
    talk.close()


def wait(condition, seconds=30):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.05)


failed = 0
for number, work in enumerate(checks, 1):
    began = time.monotonic()
    try:
        work()
        print(f"ok {number} - {work.__name__} ({time.monotonic() - began:.1f} s)", flush=True)
    except Exception:
        failed += 1
        traceback.print_exc()
        print(f"not ok {number} - {work.__name__}", flush=True)
print(f"{len(checks) - failed} passed, {failed} failed")
sys.exit(1 if failed else 0)
