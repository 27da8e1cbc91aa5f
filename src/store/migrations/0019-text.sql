-- A task's document without what its row has columns for, and without its text, which is in its first event: both were written anew at every event.
with kept (n, key, usually) as (values
  (1, 'tags', null), (2, 'after', null), (3, 'acceptance', null), (4, 'budgetNanoUsd', null), (5, 'ref', null), (6, 'depth', '0'),
  (7, 'notBefore', null), (8, 'override', null), (9, 'why', null), (10, 'evidence', null), (11, 'token', null), (12, 'running', null),
  (13, 'plan', null), (14, 'children', null), (15, 'candidate', null), (16, 'gates', null), (17, 'round', null), (18, 'rounds', null),
  (19, 'returns', null), (20, 'feedback', null), (21, 'rebase', null), (22, 'failures', null), (23, 'lost', null), (24, 'parked', null),
  (25, 'archive', null), (26, 'approval', null), (27, 'intent', null), (28, 'landed', null), (29, 'report', null), (30, 'tokens', null),
  (31, 'costNanoUsd', null), (32, 'root', null), (33, 'readyAt', null), (34, 'path', null), (35, 'heldNow', null))
update task set doc = (
  select json_group_object(key, json(value) order by n) from (
    select kept.n, kept.key, kept.usually, task.doc -> ('$.' || kept.key) as value
    from json_each(task.doc) as each join kept on kept.key = each.key)
  where value is not usually
    and not (key = 'root' and value = json_quote(task.id))
    and not (key = 'readyAt' and value = cast(task.added_at as text)));
