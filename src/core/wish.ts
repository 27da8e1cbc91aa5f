/** A wish as a user says it, and whether it can become a task. Pure: what other tasks there are is handed in. */
import { lanes, type Lane } from './lane.ts'
import { oneOf } from './nearest.ts'
import { isRefusal, refuse, type Refusal } from './refusal.ts'
import { readTaskPath } from './task-path.ts'
import { kinds, sizes, type Kind, type Size } from './task.ts'

export type Wish = {
  repo: string
  title: string
  text?: string
  kind?: string
  lane?: string
  size?: string
  tags?: readonly string[]
  after?: readonly string[]
  acceptance?: readonly string[]
  budgetNanoUsd?: number | null
  ref?: string | null
  path?: string | null
}

export type CheckedWish = {
  repo: string
  title: string
  text: string
  kind: Kind
  lane: Lane
  size: Size
  tags: string[]
  acceptance: string[]
  budgetNanoUsd: number | null
  ref: string | null
  path?: string
}

const longestTitle = 200
const longestTag = 200

/** Checks everything that needs no other task. Refuses, naming the nearest right word; nothing is ever cut to fit. */
export function checkWish(wish: Wish, textBytes: number): CheckedWish | Refusal {
  const title = wish.title.trim()
  const text = wish.text ?? ''
  if (title === '') return refuse('no-title', 'a task needs a title', 'tri-agent add "what you want"')
  if (title.length > longestTitle || /[\n\r]/.test(title))
    return refuse(
      'long-title',
      `a title is one line of at most ${longestTitle} characters`,
      'put the rest into a file: tri-agent add "title" -f task.md',
    )
  const tag = wish.tags?.find((each) => each.trim() === '' || each.length > longestTag || /\p{Cc}/u.test(each))
  if (tag !== undefined)
    return refuse('bad-tag', `a tag is one line of at most ${longestTag} characters`, '--tag family:openai')
  const bytes = new TextEncoder().encode([text, ...(wish.acceptance ?? [])].join('\n')).length
  if (bytes > textBytes)
    return refuse(
      'text-too-large',
      `the text has ${bytes} bytes, at most ${textBytes} are taken`,
      'split the task; nothing is cut',
    )
  const kind = oneOf('kind', wish.kind ?? 'feature', kinds)
  if (isRefusal(kind)) return kind
  const lane = oneOf('lane', wish.lane ?? 'normal', lanes)
  if (isRefusal(lane)) return lane
  const size = oneOf('size', wish.size ?? 'small', sizes)
  if (isRefusal(size)) return size
  const budgetNanoUsd = wish.budgetNanoUsd ?? null
  if (budgetNanoUsd !== null && !(Number.isSafeInteger(budgetNanoUsd) && budgetNanoUsd > 0))
    return refuse('bad-budget', 'a budget is more than $0', '--budget 2.50')
  const ref = wish.ref ?? null
  if ((kind === 'review') !== (ref !== null))
    return kind === 'review'
      ? refuse('no-ref', 'a review needs what to review', '--kind review --ref BRANCH')
      : refuse('ref-unused', '--ref belongs to --kind review')
  const path = wish.path === undefined || wish.path === null ? null : readTaskPath(wish.path)
  if (isRefusal(path)) return path
  return {
    repo: wish.repo,
    title,
    text,
    kind,
    lane,
    size,
    tags: [...(wish.tags ?? [])],
    acceptance: [...(wish.acceptance ?? [])],
    budgetNanoUsd,
    ref,
    ...(path === null ? {} : { path }),
  }
}
