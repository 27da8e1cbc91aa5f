/** Which versions of the real clients these adapters were tested with. A version nobody tested may work: it is tried before its first use. */
import type { AgentAdapter } from './agent.ts'

/** `tested` is what test/clients installs. Below `oldest` an option we start it with is missing: facts (agents) §1 and §3. */
const versions: Readonly<Record<Exclude<AgentAdapter['name'], 'scripted'>, { tested: string; oldest: string }>> = {
  claude: { tested: '2.1.330', oldest: '2.1.197' },
  codex: { tested: '0.169.0', oldest: '0.163.0' },
  gemini: { tested: '0.61.0', oldest: '0.60.0' },
  opencode: { tested: '1.18.33', oldest: '1.18.0' },
}

export type Judged = { state: 'tested' | 'untested' | 'too-old'; tested: string; oldest: string }

/** How a version stands to the tested one. The scripted agent is part of this program, so always tested. */
export function judgeVersion(agent: AgentAdapter['name'], version: string): Judged {
  if (agent === 'scripted') return { state: 'tested', tested: version, oldest: version }
  const { tested, oldest } = versions[agent]
  const state = version === tested ? 'tested' : compareVersions(version, oldest) < 0 ? 'too-old' : 'untested'
  return { state, tested, oldest }
}

/** Below 0 where `a` is the older; by numbers, not by letters. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((each) => each.split('.').map(Number))
  const at = [0, 1, 2].find((index) => left![index] !== right![index])
  return at === undefined ? 0 : left![at]! - right![at]!
}
