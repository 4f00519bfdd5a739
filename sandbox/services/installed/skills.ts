/** Skills that are installed for the user. */
import { skillAt, type Skill } from '../skills.js';
import { SKILLS } from './kinds.js';
import { installedIn } from './store.js';

/** Without those that are switched off. */
export async function userSkills(home: string): Promise<Skill[]> {
  const enabled = (await installedIn(SKILLS, home)).filter((each) => each.enabled);
  const found = await Promise.all(enabled.map((each) => skillAt(each.install_path)));
  return found.filter((skill) => skill !== undefined);
}
