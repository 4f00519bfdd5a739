/**
 * A binary heap of items by time. Items are not removed when they become void: `valid` tells, and void ones are swept when
 * they outnumber the valid.
 */
export function createTimeHeap<T>(valid: (item: T, at: number) => boolean) {
  let nodes: { at: number; item: T }[] = [];
  let sweepAt = 64;

  const up = (start: number): void => {
    for (let index = start; index > 0;) {
      const parent = (index - 1) >> 1;
      if (!swapIfEarlier(index, parent)) return;
      index = parent;
    }
  };
  const down = (): void => {
    for (let index = 0; ;) {
      const left = 2 * index + 1;
      const right = left + 1;
      const child = right < nodes.length && at(right) < at(left) ? right : left;
      if (child >= nodes.length || !swapIfEarlier(child, index)) return;
      index = child;
    }
  };
  const at = (index: number): number => (nodes[index] as { at: number }).at;
  const swapIfEarlier = (child: number, parent: number): boolean => {
    if (at(child) >= at(parent)) return false;
    [nodes[child], nodes[parent]] = [nodes[parent] as { at: number; item: T }, nodes[child] as { at: number; item: T }];
    return true;
  };
  const pop = (): { at: number; item: T } | undefined => {
    const top = nodes[0];
    const last = nodes.pop();
    if (top !== undefined && last !== undefined && nodes.length > 0) {
      nodes[0] = last;
      down();
    }
    return top;
  };
  const dropVoid = (): void => {
    for (let top = nodes[0]; top !== undefined && !valid(top.item, top.at); top = nodes[0]) pop();
  };
  const sweep = (): void => {
    nodes = nodes.filter((node) => valid(node.item, node.at)).sort((a, b) => a.at - b.at);
    sweepAt = Math.max(64, nodes.length * 2);
  };

  return {
    push(time: number, item: T): void {
      nodes.push({ at: time, item });
      up(nodes.length - 1);
      if (nodes.length > sweepAt) sweep();
    },
    /** The earliest valid time. */
    peek(): number | undefined {
      dropVoid();
      return nodes[0]?.at;
    },
    /** Removes and answers the valid items up to `time`, earliest first. */
    takeUntil(time: number): T[] {
      const items: T[] = [];
      for (dropVoid(); nodes[0] !== undefined && nodes[0].at <= time; dropVoid())
        items.push((pop() as { item: T }).item);
      return items;
    },
    get length() {
      return nodes.length;
    },
  };
}
