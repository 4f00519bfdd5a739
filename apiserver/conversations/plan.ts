/** Where an agent that plans writes, and where clients look for the plan. */
export const planFileOf = (workingDir: string): string => `${workingDir}/.agents_tmp/PLAN.md`;
