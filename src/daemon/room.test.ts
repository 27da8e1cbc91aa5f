import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkAreas, checkRoom, measureRoom, whyClosed } from './room.ts'

const gigabyte = 1024 ** 3
const room = (disk: number, memory: number) => ({ diskBytes: disk * gigabyte, memoryBytes: memory * gigabyte })

test('nothing new starts below 2 GB of disk or 1 GB of memory, and the checks say the same', () => {
  for (const [disk, memory, why] of [
    [2, 1, null],
    [1.999, 1, 'less than 2 GB of disk left for /state'],
    [2, 0.999, 'less than 1 GB of memory left'],
    [0, 0, 'less than 2 GB of disk left for /state'],
  ] as const) {
    const now = room(disk, memory)
    assert.equal(whyClosed(now, '/state'), why)
    const states = checkRoom(now, '/state').map(({ state }) => state)
    assert.equal(states.includes('missing'), why !== null)
    assert.deepEqual(states, [disk < 2 ? 'missing' : 'ok', memory < 1 ? 'missing' : 'ok'])
  }
})

test('more than 10 GB of work areas is a warning, and nothing is closed for it', () => {
  assert.deepEqual(
    [10, 10.001].map((size) => checkAreas(size * gigabyte).state),
    ['ok', 'warning'],
  )
})

test('this machine is measured, also for a folder that is not there yet', () => {
  const { diskBytes, memoryBytes } = measureRoom('/nowhere/at/all')
  assert.ok(diskBytes > 0 && memoryBytes > 0 && Number.isSafeInteger(diskBytes), `${diskBytes} ${memoryBytes}`)
})
