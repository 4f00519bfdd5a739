/** Which command an image stands for. This cluster pulls nothing: an image is a name for a program that is here. Pure. */
import type { Container } from '../../kube/kinds.js';

/** Repository (without registry and tag) → command. */
export type ImageMap = Readonly<Record<string, readonly string[]>>;

/** `registry:5000/a/b:tag@sha256:…` → `registry:5000/a/b`. */
export function repositoryOf(image: string): string {
  const bare = image.replace(/@.*$/, '');
  const colon = bare.lastIndexOf(':');
  return colon > bare.lastIndexOf('/') ? bare.slice(0, colon) : bare;
}

/** The command of a known image, from whichever registry it is said to come. */
export function imageCommand(image: string, images: ImageMap): readonly string[] | undefined {
  const repository = repositoryOf(image);
  const known = Object.keys(images).find((name) => repository === name || repository.endsWith(`/${name}`));
  return known === undefined ? undefined : images[known];
}

/** The argv of a container before expansion and path rewriting; a message when this cluster cannot run it. */
export function commandOf(container: Container, images: ImageMap): { argv: string[] } | { message: string } {
  const own = container.command ?? [];
  const entry = own.length > 0 ? own : imageCommand(container.image ?? '', images);
  if (entry === undefined)
    return {
      message:
        `this one-machine cluster pulls no images: it runs ${Object.keys(images).join(', ')}, ` +
        `and any container with a "command" that this machine has; "${container.image ?? ''}" is neither`,
    };
  return { argv: [...entry, ...(container.args ?? [])] };
}
