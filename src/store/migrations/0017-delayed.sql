-- One more state of a task: delayed, not before a time. A check cannot be changed in place, so the projection is made anew around its rows.
alter table task rename to task_before;
create table task (
  id       text primary key,
  repo     text not null,
  title    text not null,
  kind     text not null,
  lane     text not null check (lane in ('critical', 'normal', 'background')),
  size     text not null check (size in ('small', 'medium', 'large')),
  state    text not null check (state in ('ready', 'delayed', 'running', 'awaiting-approval', 'escalated', 'parked', 'split', 'done', 'cancelled')),
  step     text not null,
  parent   text,
  added_at integer not null,
  version  integer not null,
  doc      text not null check (json_valid(doc)),             -- the folded task, whole
  held     text                                               -- why, or null
) strict;
insert into task
  select id, repo, title, kind, lane, size,
    case when state = 'ready' and doc ->> '$.notBefore' is not null then 'delayed' else state end,
    step, parent, added_at, version, doc, held
  from task_before;
drop table task_before;
create index task_added on task (added_at);
create index task_state on task (state, added_at);
create index task_held on task (added_at) where held is not null;
create index task_parent on task (parent, state) where parent is not null;

-- In the queue they stand in lines of their own, found by their time.
update queue set line = line || ' later' where not_before is not null;
create index queue_by_time on queue (line, not_before) where not_before is not null;
