/*
description: People who log in to the product.
primary_key: user_id
*/
select user_id, account_id, email, full_name, role, signed_up_at, preferences
from users
