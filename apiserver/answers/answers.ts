/**
 * What routes answer when all went well, for the OpenAPI document, by `METHOD url` as the route is registered. More members may be
 * there than a schema names. Real answers are held against them in test/apiserver/document.test.ts.
 */
import type { z } from 'zod';
import { accountAnswers } from './account.js';
import { conversationAnswers } from './conversations.js';
import { runtimeAnswers } from './runtime.js';

const ANSWERS: Record<string, z.ZodType> = { ...accountAnswers, ...conversationAnswers, ...runtimeAnswers };

export const answerOf = (method: string, url: string): z.ZodType | undefined =>
  ANSWERS[`${method.toUpperCase()} ${url}`];
