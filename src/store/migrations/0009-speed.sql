-- What every event of a task has to keep up must be cheap: a column instead of an index that reads the whole document, twice an event.
drop index task_held;
alter table task add column held text;                        -- why, or null
update task set held = doc ->> '$.held' where doc ->> '$.held' is not null;
create index task_held on task (added_at) where held is not null;
create index lease_offered on lease (epoch, attempt) where state = 'offered';
