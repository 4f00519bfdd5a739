/** Parts of which several answers are made. */
import { z } from 'zod';

export const text = z.string();
export const maybe = z.string().nullable();
export const int = z.number().int();
/** ISO 8601, UTC. */
export const time = z.string().describe('A time, ISO 8601.');
export const names = z.array(text);
export const doc = z.record(z.string(), z.unknown());

/** `next_page_id` is the `page_id` of the next request; null at the end. */
export const page = (item: z.ZodType) => z.object({ items: z.array(item), next_page_id: maybe });
export const items = (item: z.ZodType) => z.object({ items: z.array(item) });
/** In the order of the ids asked for; null for what is not there. */
export const batch = (item: z.ZodType) => z.array(item.nullable());

export const message = z.object({ message: text });
export const success = z.object({ success: z.boolean() });
export const named = z.object({ name: text, message: text });
export const link = z.object({ url: text });
export const count = int;
