/** A task for programs (stable names) and for people (why it is where it is, what to type next). */
import { utcOf, partOfDay } from '../core/day.ts'
import { isOver, stateOf, type Task } from '../core/task.ts'
import { money } from './format.ts'

/** The first line of a task for programs: what `list`, `add` and every decision answer. Names are stable; money is in nano-dollars. */
export const briefTask = (task: Task) => ({
  id: task.id,
  repo: task.repo,
  title: task.title,
  kind: task.kind,
  lane: task.lane,
  size: task.size,
  state: stateOf(task),
  step: isOver(task) ? null : task.step,
  held: task.held,
  why: task.why,
  tags: task.tags,
  after: task.after,
  parent: task.parent,
  children: task.children,
  running: task.running.map(({ attempt, token, step, role, family, model, admittedAt }) => ({
    attempt,
    number: token,
    step,
    role,
    family,
    model,
    admittedAt,
  })),
  returns: task.returns,
  landed: task.landed,
  costNanoUsd: task.costNanoUsd,
  tokens: task.tokens,
  addedAt: task.addedAt,
})

/** What a person may type next about this task, the likeliest first. `waitsInVain`: for one that was cancelled. */
export function nextSteps(task: Task, daemonIsUp: boolean, waitsInVain = false): string[] {
  const { id } = task
  if (task.held !== null && !isOver(task)) return [`tri-agent release ${id}`]
  switch (stateOf(task)) {
    case 'awaiting-approval':
      return [`tri-agent approve ${id}`, `tri-agent reject ${id} --why "…"`]
    case 'escalated':
      return waitsInVain ? [`tri-agent cancel ${id}`] : [`tri-agent retry ${id}`, `tri-agent cancel ${id}`]
    case 'parked':
      return [...resumeSteps(task), `tri-agent cancel ${id}`]
    case 'running':
      return [`tri-agent output ${id} --follow`]
    case 'ready':
    case 'delayed':
      return daemonIsUp ? [`tri-agent watch`] : ['tri-agent up --detach']
    case 'split':
      return task.children.map((child) => `tri-agent show ${child}`)
    case 'done':
      return task.landed ? [`git show ${task.landed.commit.slice(0, 12)}`, `git merge ${task.landed.target}`] : []
    case 'cancelled':
      return []
  }
}

/** How a parked task goes on before its time. */
function resumeSteps({ id, parked }: Task): string[] {
  const scope = parked?.scope ?? ''
  if (scope === 'daemon') return ['tri-agent up --detach']
  if (scope.startsWith('task/')) return [`tri-agent budget raise ${id} 5`]
  const part = partOfDay(scope)
  if (part) return [`tri-agent budget raise ${part.of === 'repo' ? 'repository' : 'family'} ${part.name} 5`]
  if (scope.startsWith('day/')) return ['tri-agent budget raise day 20']
  return [scope === 'minute' ? 'tri-agent budget resume' : `tri-agent budget resume ${id}`]
}

/** In a few words, why a task is where it is. `blockedBy` are tasks it waits for, `waits` what else keeps it from starting. */
export function situation(task: Task, blockedBy: readonly string[] = [], waits: string | null = null): string {
  if (task.held !== null && !isOver(task)) return `held: ${task.held}`
  switch (stateOf(task)) {
    case 'running':
      return task.running.map(({ step, family }) => `${step}${family ? ` by ${family}` : ''}`).join(', ')
    case 'ready':
      if (blockedBy.length > 0) return `waits for ${blockedBy.join(', ')}`
      if (waits !== null) return `${task.step} is next and does not start: ${waits}`
      return `${task.step} is next`
    case 'delayed':
      if (blockedBy.length > 0) return `waits for ${blockedBy.join(', ')}`
      if (waits !== null) return `${task.step} is next and does not start: ${waits}`
      return `${task.step} again, not before ${utcOf(task.notBefore!)}${task.why ? `: ${task.why}` : ''}`
    case 'awaiting-approval':
      return `${task.step === 'land' ? 'landing' : 'your approval'}${task.why ? `: ${task.why}` : ''}`
    case 'escalated':
      return `stopped at ${task.step}: ${(task.why ?? 'no reason given').replace(new RegExp(`^${task.step}:? `), '')}`
    case 'parked':
      if (task.parked?.scope === 'daemon')
        return `stopped with its work kept: ${task.why ?? ''}; the next daemon goes on with it`
      return `stopped at a limit with its work kept: ${task.why ?? ''}${task.parked?.until ? `; goes on by itself from ${utcOf(task.parked.until)} on` : ''}`
    case 'split':
      return `split into ${task.children.length} parts`
    case 'done':
      if (task.landed)
        return `landed on ${task.landed.target} as ${task.landed.commit.slice(0, 9)}, ${money(task.costNanoUsd)}`
      return task.report === null ? 'all of its parts are done' : 'reported'
    case 'cancelled':
      return task.why ?? ''
  }
}
