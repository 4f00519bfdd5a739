/**
 * The start of a conversation as it happens: one WebSocket frame `{task, progress}` for each change, so that a page need
 * not ask again and again. Ends with 1000 when the start has ended; a client that gets no upgrade through polls instead.
 */
import type { StartTask } from '../db/generated/client.js';
import type { Deps } from '../deps.js';
import type { Api } from '../http/schema.js';
import { uuid } from '../http/validate.js';
import { shownProgress } from '../sandboxes/status.js';
import { FINAL, shownTask } from '../start/tasks.js';

/** Of all users of this process; each costs a listener and a look at the database now and then. */
const MAX_SOCKETS = 1000;
/** What another API server does is told by a notice; this is for one that got lost. */
const LOOK_MS = 5000;

interface Path {
  Params: { id: string };
}

export function liveRoutes(app: Api, deps: Deps): void {
  let open = 0;

  app.get<Path>(
    '/app-conversations/start-tasks/:id/live',
    { websocket: true, config: { uncounted: true } },
    async (socket, request) => {
      open += 1;
      const stops: (() => void)[] = [];
      socket.on('error', (error) => request.log.debug({ err: error }, 'a live socket failed'));
      socket.on('close', () => {
        open -= 1;
        for (const stop of stops) stop();
      });
      const refuse = (code: number, reason: string) => socket.close(code, reason);
      if (open > MAX_SOCKETS) return refuse(1013, 'too many sockets');

      const id = uuid.safeParse(request.params.id).data ?? '';
      const look = () => request.owned.startTask.findUnique({ where: { id } });
      let task = await look();
      if (task === null) return refuse(4404, 'unknown start task');
      let last = '';
      const give = (state: StartTask | null) => {
        if (state === null) return refuse(4404, 'the start task is gone');
        task = state;
        const sandbox = state.sandboxId === null ? undefined : deps.directory.get(state.sandboxId);
        const frame = JSON.stringify({
          task: shownTask(state, request.user.shown, { fresh: false }),
          progress: sandbox === undefined ? null : shownProgress(sandbox),
        });
        if (frame !== last) socket.send(frame);
        last = frame;
        if (FINAL.includes(state.status as (typeof FINAL)[number])) socket.close(1000);
      };
      give(task);
      const timer = setInterval(
        () => void look().then(give, () => refuse(1011, 'the database does not answer')),
        LOOK_MS,
      );
      stops.push(
        () => clearInterval(timer),
        deps.starts.listen(id, (state) => state !== undefined && give(state)),
        deps.directory.listen((now) => now !== undefined && now.metadata.name === task?.sandboxId && give(task)),
      );
      if (socket.readyState !== socket.OPEN) for (const stop of stops) stop();
    },
  );
}
