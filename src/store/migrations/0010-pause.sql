-- Projections. What a person wants nothing new to start of; one that was resumed stays, because waiting counts from there.
create table pause (
  what  text    not null check (what in ('all', 'lane', 'repo', 'family')),
  name  text    not null,
  why   text    not null,
  actor text    not null,
  at    integer not null,
  now   integer not null,                                     -- 1: what is under way is ended too
  until integer,                                              -- null while it is in force
  primary key (what, name)
) strict, without rowid;

-- Who stands in one line can start under the same circumstances, and the repository is one of them now.
update queue set line = repo || case when line like 'gate ' || repo || ' | %'
    then ' gate land' || substr(line, length('gate ' || repo) + 1)
    else ' ' || line end
  from task where task.id = queue.task;
