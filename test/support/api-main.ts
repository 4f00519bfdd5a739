/** Entry of test/support/api-process.ts. */
import { main } from '../../apiserver/main.js';

await main(process.env);
