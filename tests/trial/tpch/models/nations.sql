/*
primary_key: nation_key
*/
select n.n_nationkey as nation_key, n.n_name as name, r.r_name as region
from nation n
join region r on r.r_regionkey = n.n_regionkey
