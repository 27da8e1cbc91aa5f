/** The attempts a task wants, as it stands: what flow.ts leads to and admission lets in. Pure. */
import type { Family } from './family.ts'
import { nextChecks } from './review.ts'
import type { Role, Step, Task } from './task.ts'

export type WantedStep = { step: Step; role: Role; family: Family | null; finding: string | null }

/** The attempts a task wants now, without looking at slots, money or the clock. Empty while it waits for a person or is over. */
export function wantedSteps(task: Task): WantedStep[] {
  if (task.phase !== 'open') return []
  const idle = task.running.length === 0
  const one = (role: Role): WantedStep[] => (idle ? [{ step: task.step, role, family: null, finding: null }] : [])
  switch (task.step) {
    case 'plan':
      return one('architect')
    case 'implement':
      return one('implementer')
    case 'verify':
    case 'land':
      return one('gate')
    case 'review':
      return wantedReviews(task)
    case 'reproduce':
    case 'crosscheck':
      throw new Error(`${task.step} is a part of review, never a task's step`)
  }
}

function wantedReviews(task: Task): WantedStep[] {
  const { round } = task
  if (!round || round.verdict) return []
  const asked = owesAdvice(task) ? [...round.policy.families, round.policy.advisory!] : round.policy.families
  const voters = asked
    .filter((family) => !round.votes.some((vote) => vote.family === family))
    .filter((family) => !task.running.some((each) => each.step === 'review' && each.family === family))
    .map((family): WantedStep => ({ step: 'review', role: 'reviewer', family, finding: null }))
  const checks = nextChecks(round)
    .filter(({ finding }) => !task.running.some((each) => each.finding === finding))
    .map((check): WantedStep =>
      check.step === 'reproduce'
        ? { step: 'reproduce', role: 'gate', family: null, finding: check.finding }
        : { step: 'crosscheck', role: 'reviewer', family: check.family, finding: check.finding },
    )
  return [...voters, ...checks]
}

/** The round's advisory review is still to come. */
export const owesAdvice = ({ round }: Task): boolean =>
  round !== null && round.policy.advisory !== null && round.advice === null
