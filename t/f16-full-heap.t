# SPDX-License-Identifier: GPL-2.0-or-later
# Calls with descriptions so long that the arena is full long before max_calls: new ones are refused, those that stand are refreshed and end as if nothing were.
use strict;
use warnings;
use Test::More;
use Velador;
use Velador::Many;

use constant { CALLS => 900, TTL_S => 4 };
my ($v, $many) = Velador::Many->start({ velador => { max_calls => 1000 }, session => { ttl => TTL_S . 's' } },
	calls => CALLS, rate => 300, ttl => TTL_S, hold => 6, reinvite_every => 1, padding => 7000, limit => 40);
my $got = $many->finish;
cmp_ok($got->{failed}, '>', 0, 'not all find room');
cmp_ok($got->{established}, '>', 100, "$got->{established} of " . CALLS . ' do');
is($got->{cut}, 0, 'none of them is cut');
cmp_ok($got->{fewest}, '>=', 2, 'each leg is refreshed by re-INVITE');
is($got->{left}, $got->{established}, 'and each caller hangs up');
cmp_ok($v->stat_of('arena_full'), '>', 0, 'those refused are counted');
my ($reasons, $ids) = Velador::Many::reasons($v, $got->{established}, 10);
is_deeply([$reasons->{'caller normal'}, scalar(grep { /session_expired/ } keys %$reasons)], [$got->{established}, 0], 'one record a call, with its reason');
$v->done_ok;
done_testing;
