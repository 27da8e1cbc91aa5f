-- A task's document without what is as it is for every new task (store/document.ts): it is written anew at every event.
with usual (n, key, value) as (values
  (1, 'tags', '[]'), (2, 'after', '[]'), (3, 'acceptance', '[]'), (4, 'budgetNanoUsd', 'null'), (5, 'parent', 'null'), (6, 'ref', 'null'),
  (7, 'notBefore', 'null'), (8, 'held', 'null'), (9, 'override', 'false'), (10, 'why', 'null'), (11, 'evidence', 'null'), (12, 'token', '0'),
  (13, 'running', '[]'), (14, 'plan', 'null'), (15, 'children', '[]'), (16, 'candidate', 'null'), (17, 'gates', 'null'), (18, 'round', 'null'),
  (19, 'rounds', '0'), (20, 'returns', '0'), (21, 'feedback', 'null'), (22, 'rebase', 'false'), (23, 'failures', '[]'),
  (24, 'lost', '{"times":0,"upTo":0}'), (25, 'approval', 'null'), (26, 'intent', 'null'), (27, 'landed', 'null'), (28, 'report', 'null'),
  (29, 'tokens', '{"input":0,"cachedInput":0,"cacheWrite":0,"output":0}'), (30, 'costNanoUsd', '0'))
update task set doc = (
  select json_group_object(key, json(value) order by n) from (
    select coalesce(usual.n, 100 + each.id) as n, each.key, task.doc -> ('$.' || each.key) as value, usual.value as usually
    from json_each(task.doc) as each left join usual on usual.key = each.key)
  where value is not usually);

-- With row ids: a row this long that is found by its key and changed is written twice as fast.
alter table attempt rename to attempt_before;
create table attempt (
  id          text primary key,
  task        text not null,
  token       integer not null,
  step        text not null,
  role        text not null,
  family      text,
  agent       text,
  model       text,
  state       text not null check (state in ('admitted', 'started', 'ended')),
  rung        text,
  admitted_at integer not null,
  started_at  integer,
  ended_at    integer,
  outcome     text,
  reason      text,
  cost_nano_usd integer not null default 0,
  tokens      text,
  transcript  text,
  constraint a_token_is_given_once unique (task, token),
  constraint ended_says_how check ((state = 'ended') = (outcome is not null))
) strict;
insert into attempt select * from attempt_before;
drop table attempt_before;
create index attempt_under_way on attempt (task) where state <> 'ended';
