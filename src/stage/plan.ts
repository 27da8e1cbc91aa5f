/** Plan: an architect of some family reads the repository and writes approach, files, criteria and, for what is too large, sub-tasks. */
import { answerSchemas, mostSubTasks, readPlan } from './answer.ts'
import { askAgent } from './ask.ts'
import { bullets, prompt } from './prompt.ts'
import { tellPath } from './task-path.ts'
import { without, withProduct, type Stage } from './stage.ts'

/** numbers.md: sub-tasks of sub-tasks, and no deeper. */
const deepest = 2

export const plan: Stage = async (ports, work) => {
  const { task } = work
  const asked = prompt('plan', {
    title: task.title,
    kind: task.kind,
    size: task.size,
    path: tellPath(work),
    text: task.text,
    acceptance: bullets(task.acceptance, 'none given'),
    most: String(task.depth >= deepest ? 0 : mostSubTasks),
  })
  return askAgent(
    ports,
    work,
    { role: 'architect', prompt: asked, tree: { read: work.repo.tip }, schema: answerSchemas().plan },
    async ({ end, facts }) => {
      const answer = readPlan(end)
      if ('unreadable' in answer)
        return without('unreadable', `the plan could not be read: ${answer.unreadable}`, facts)
      if (answer.subTasks.length > 0 && task.depth >= deepest)
        return without('failed', 'the plan splits a task that may not be split any further', facts)
      const parts = answer.subTasks.length
      return withProduct(
        { step: 'plan', plan: answer, family: work.attempt.family! },
        parts === 0 ? 'planned' : `planned, ${parts} parts`,
        facts,
      )
    },
  )
}
