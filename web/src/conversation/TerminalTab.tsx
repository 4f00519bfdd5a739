import { FitAddon } from '@xterm/addon-fit';
import { Terminal } from '@xterm/xterm';
import '@xterm/xterm/css/xterm.css';
import { useEffect, useRef, useState } from 'react';
import type { Agent } from '../api/agent';
import { Sleeping } from './Sleeping';

/** A shell of one's own in the sandbox, in the conversation's folder. Lives as long as the page is open. */
export function TerminalTab({ agent }: { agent: Agent | undefined }) {
  const [turn, setTurn] = useState(0);
  const [ended, setEnded] = useState<string>();
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (agent === undefined || box.current === null) return undefined;
    setEnded(undefined);
    return connect(agent, box.current, setEnded);
  }, [agent, turn]);
  if (agent === undefined) return <Sleeping what="The terminal" />;
  return (
    <>
      <div className="terminal">
        <div ref={box} role="group" aria-label="Terminal. Shift+Escape leaves it." />
      </div>
      <p role="status" className="bar terminal-state">
        {ended === undefined ? (
          <span className="hint">Shift+Escape leaves the terminal.</span>
        ) : (
          <>
            {ended}
            <button type="button" onClick={() => setTurn(turn + 1)}>
              New shell
            </button>
          </>
        )}
      </p>
    </>
  );
}

/** The server stops a program that writes more than this ahead of what was acknowledged. */
const ACKNOWLEDGE_BYTES = 128 << 10;

/** Joins a terminal in `box` to a shell in the sandbox: bytes both ways, `resize` and `ack` as JSON text. Returns the way to end both. */
function connect(agent: Agent, box: HTMLDivElement, onEnd: (why: string) => void): () => void {
  const terminal = new Terminal({ fontSize: 13, cursorBlink: true, convertEol: false });
  const fit = new FitAddon();
  terminal.loadAddon(fit);
  terminal.open(box);
  fit.fit();
  const socket = new WebSocket(`${agent.base.replace(/^http/, 'ws')}/sockets/terminal/${agent.conversationId}`);
  socket.binaryType = 'arraybuffer';
  const control = (frame: object) => {
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(frame));
  };
  const resize = () => {
    // A hidden tab has no size; the shell keeps the one it had.
    if (box.clientWidth === 0) return;
    fit.fit();
    control({ type: 'resize', cols: terminal.cols, rows: terminal.rows });
  };
  let shown = 0;
  let acknowledged = 0;
  socket.onopen = () => {
    control({ type: 'auth', session_api_key: agent.sessionKey });
    control({ type: 'ack', bytes: 0 });
    resize();
    terminal.focus();
  };
  socket.onmessage = ({ data }) => {
    if (!(data instanceof ArrayBuffer)) return;
    terminal.write(new Uint8Array(data), () => {
      shown += data.byteLength;
      if (shown - acknowledged < ACKNOWLEDGE_BYTES) return;
      acknowledged = shown;
      control({ type: 'ack', bytes: shown });
    });
  };
  socket.onclose = ({ reason }) => onEnd(reason === '' ? 'The connection to the shell is lost.' : reason);
  const encoder = new TextEncoder();
  terminal.onData((text) => {
    if (socket.readyState === WebSocket.OPEN) socket.send(encoder.encode(text));
  });
  terminal.attachCustomKeyEventHandler((event) => {
    if (event.key !== 'Escape' || !event.shiftKey) return true;
    document.querySelector<HTMLElement>('[role=tab][aria-selected=true]')?.focus();
    return false;
  });
  const watcher = new ResizeObserver(resize);
  watcher.observe(box);
  return () => {
    watcher.disconnect();
    socket.onclose = null;
    socket.close();
    terminal.dispose();
  };
}
