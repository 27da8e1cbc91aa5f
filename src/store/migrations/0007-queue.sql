-- Projections. The queue: tasks that could start if there were a slot, in the order in which they would, so that a pass reads its head alone.
create table queue (
  task       text primary key,
  line       text    not null,                                -- demand, lane and override: who stands in one line differs by waiting alone
  ready_at   integer not null,
  added_at   integer not null,
  not_before integer
) strict, without rowid;
create index queue_by_wait on queue (line, ready_at);
create index queue_by_age on queue (line, added_at, task, ready_at, not_before);

create table dependency (
  needs text not null,
  task  text not null,
  primary key (needs, task)
) strict, without rowid;

drop index task_open;
create index task_state on task (state, added_at);
create index task_held on task (added_at) where state not in ('done', 'cancelled') and doc ->> '$.held' is not null;
create index task_parent on task (parent, state) where parent is not null;
create index attempt_under_way on attempt (task) where state <> 'ended';

insert into dependency select distinct each.value, task.id from task, json_each(task.doc, '$.after') as each;
insert into queue
  select id,
    case step
      when 'plan' then 'architect' || coalesce(' ' || family, '')
      when 'implement' then 'implementer' || coalesce(' ' || family, '')
      when 'verify' then 'gate'
      when 'land' then 'gate ' || repo
      else id end                                               -- the next event says it better
      || ' | ' || lane || case when doc ->> '$.override' then ' first' else '' end,
    doc ->> '$.readyAt', min(added_at, doc ->> '$.readyAt'), doc ->> '$.notBefore'
  from (select *, (select value from json_each(doc, '$.tags') where value like 'family:_%' limit 1) as family from task)
  where state = 'ready' and doc ->> '$.held' is null
    and not exists (
      select 1 from dependency left join task as needed on needed.id = dependency.needs
      where dependency.task = id and needed.state is not 'done');
