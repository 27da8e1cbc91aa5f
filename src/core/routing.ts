/**
 * Which family takes which role on a task, and why. The rules are data, read top to bottom; the first that fits wins, and its families are tried
 * in order until one is usable. Reviewers are not routed: who reviews follows from who wrote (review.ts).
 */
import type { Family } from './family.ts'
import type { Kind, Role, Size } from './task.ts'

export type Rule = {
  name: string
  when: {
    roles?: readonly Role[]
    kinds?: readonly Kind[]
    words?: readonly string[]
    bytesOver?: number
    filesOver?: number
  }
  families: readonly Family[]
  confidence: number
}

export type RoutedTask = {
  kind: Kind
  size: Size
  title: string
  text: string
  tags: readonly string[]
  plan: { files: readonly string[] } | null
}

export type Considered = { rule: string; fits: boolean; families: readonly Family[]; confidence: number }
export type Route = { family: Family | null; rule: string; confidence: number; considered: Considered[]; why: string }

/** Below this a person should say which family, by a tag `family:NAME`. */
export const leastConfidence = 0.7

const codeFirst = ['openai', 'anthropic', 'google'] as const
const thoughtFirst = ['anthropic', 'openai', 'google'] as const
const contextFirst = ['google', 'anthropic', 'openai'] as const

/** The starting policy: the ancestor's table, its confidences included. */
export const startingRules: readonly Rule[] = [
  { name: 'text-over-50-KiB', when: { bytesOver: 51_200 }, families: contextFirst, confidence: 0.95 },
  { name: 'more-than-10-files', when: { filesOver: 10 }, families: contextFirst, confidence: 0.9 },
  { name: 'asks-for-deep-thought', when: { words: ['ultrathink'] }, families: thoughtFirst, confidence: 0.98 },
  {
    name: 'images-or-documents',
    when: { words: ['multimodal', 'screenshot', 'image', 'pdf'] },
    families: contextFirst,
    confidence: 0.92,
  },
  {
    name: 'whole-codebase',
    when: { words: ['whole codebase', 'entire codebase'] },
    families: contextFirst,
    confidence: 0.9,
  },
  { name: 'analyse-all', when: { words: ['analyse all', 'analyze all'] }, families: contextFirst, confidence: 0.85 },
  { name: 'architect', when: { roles: ['architect'] }, families: thoughtFirst, confidence: 0.9 },
  { name: 'kind-security', when: { kinds: ['security'] }, families: thoughtFirst, confidence: 0.92 },
  { name: 'kind-docs', when: { kinds: ['docs'] }, families: ['google', 'anthropic', 'openai'], confidence: 0.82 },
  { name: 'kind-feature', when: { kinds: ['feature'] }, families: codeFirst, confidence: 0.85 },
  { name: 'kind-fix', when: { kinds: ['fix'] }, families: codeFirst, confidence: 0.8 },
  { name: 'kind-test', when: { kinds: ['test'] }, families: codeFirst, confidence: 0.8 },
  { name: 'kind-refactor', when: { kinds: ['refactor'] }, families: codeFirst, confidence: 0.78 },
  { name: 'anything-else', when: {}, families: thoughtFirst, confidence: 0.6 },
]

/** The family a person asked for by a tag `family:NAME`. */
export const forcedFamily = ({ tags }: Pick<RoutedTask, 'tags'>): Family | undefined =>
  tags.find((tag) => tag.startsWith('family:'))?.slice('family:'.length)

/** The family for a role on a task. `usable` are the families that could start now; null when none of the route's can. */
export function route(
  task: RoutedTask,
  role: Role,
  usable: readonly Family[],
  rules: readonly Rule[] = startingRules,
): Route {
  const considered = rules.map((rule) => ({
    rule: rule.name,
    fits: fits(rule, task, role),
    families: rule.families,
    confidence: rule.confidence,
  }))
  const forced = forcedFamily(task)
  if (forced !== undefined) {
    const family = usable.includes(forced) ? forced : null
    return {
      family,
      rule: 'tag',
      confidence: 1,
      considered,
      why: family ? `the task's tag asks for ${forced}` : `the task's tag asks for ${forced}, which is not usable`,
    }
  }
  const rule = considered.find((each) => each.fits) ?? considered.at(-1)!
  const families = [...rule.families, ...usable.filter((each) => !rule.families.includes(each))]
  const family = families.find((each) => usable.includes(each)) ?? null
  const confidence =
    task.title.length + task.text.length < 50 && rule.confidence < 0.9 ? rule.confidence - 0.15 : rule.confidence
  const preferred = families[0]
  const why =
    family === null
      ? `rule ${rule.rule} wants ${families.join(', then ')}; none is usable`
      : `rule ${rule.rule}${family === preferred ? '' : ` prefers ${preferred}, not usable now`}`
  return { family, rule: rule.rule, confidence: Math.round(confidence * 100) / 100, considered, why }
}

function fits({ when }: Rule, task: RoutedTask, role: Role): boolean {
  const said = `${task.title}\n${task.text}`.toLowerCase()
  return (
    (!when.roles || when.roles.includes(role)) &&
    (!when.kinds || when.kinds.includes(task.kind)) &&
    (!when.words || when.words.some((word) => said.includes(word))) &&
    (when.bytesOver === undefined || new TextEncoder().encode(said).length > when.bytesOver) &&
    (when.filesOver === undefined || (task.plan?.files.length ?? 0) > when.filesOver)
  )
}
