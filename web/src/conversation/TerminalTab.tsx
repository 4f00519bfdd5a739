import { FitAddon } from '@xterm/addon-fit';
import { Terminal } from '@xterm/xterm';
import '@xterm/xterm/css/xterm.css';
import { useEffect, useRef, useState } from 'react';
import type { Agent } from '../api/agent';
import { Sleeping } from './Sleeping';

/** A shell of one's own in the sandbox, in the conversation's folder. Lives as long as the tab is open. */
export function TerminalTab({ agent }: { agent: Agent | undefined }) {
  const [turn, setTurn] = useState(0);
  const [ended, setEnded] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (agent === undefined || box.current === null) return undefined;
    setEnded(false);
    return connect(agent, box.current, () => setEnded(true));
  }, [agent, turn]);
  if (agent === undefined) return <Sleeping what="The terminal" />;
  return (
    <>
      <div className="terminal" ref={box} />
      {ended ? (
        <p role="status" className="bar">
          The shell has ended.{' '}
          <button type="button" onClick={() => setTurn(turn + 1)}>
            New shell
          </button>
        </p>
      ) : null}
    </>
  );
}

/** Joins a terminal in `box` to a shell in the sandbox: bytes both ways, `resize` as JSON text. Returns the way to end both. */
function connect(agent: Agent, box: HTMLDivElement, onEnd: () => void): () => void {
  const terminal = new Terminal({ fontSize: 13, cursorBlink: true, convertEol: false });
  const fit = new FitAddon();
  terminal.loadAddon(fit);
  terminal.open(box);
  fit.fit();
  const socket = new WebSocket(`${agent.base.replace(/^http/, 'ws')}/sockets/terminal/${agent.conversationId}`);
  socket.binaryType = 'arraybuffer';
  const resize = () => {
    fit.fit();
    if (socket.readyState === WebSocket.OPEN)
      socket.send(JSON.stringify({ type: 'resize', cols: terminal.cols, rows: terminal.rows }));
  };
  socket.onopen = () => {
    socket.send(JSON.stringify({ type: 'auth', session_api_key: agent.sessionKey }));
    resize();
    terminal.focus();
  };
  socket.onmessage = ({ data }) => {
    if (data instanceof ArrayBuffer) terminal.write(new Uint8Array(data));
  };
  socket.onclose = onEnd;
  const encoder = new TextEncoder();
  terminal.onData((text) => {
    if (socket.readyState === WebSocket.OPEN) socket.send(encoder.encode(text));
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
