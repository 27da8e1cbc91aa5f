-- The dependencies of one task, for the comparison of all rows with the log, task by task.
create index dependency_of_task on dependency (task);
