# SPDX-License-Identifier: GPL-2.0-or-later
# Workers and the timer process are killed, one after every 300 to 600 datagrams, while they carry 500 calls a second, in batches. Both peers are strict: a message that comes twice where
# the dialog has gone on makes them abort the call. Nobody notices.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of sipp sipp_ok wait_for);

use constant { RATE => 500, CALLS => 3000, KILLS => 30 };

my $port = Velador::free_port();
my $v = Velador->start(velador => { workers => 2, max_calls => 10_000 }, plan_of(carrier => "127.0.0.1:$port"));
my $uas = sipp(scenario => 'uas-basic', port => $port, count => CALLS, timeout => 60);
my $uac = sipp(scenario => 'uac-basic', to => $v->addr, count => CALLS, rate => RATE, timeout => 60, args => ['-d', 100, '-s', '100', '-l', 10000]);
ok(wait_for(sub { $v->stat_of('datagrams_grouped') > 200 }, 20), 'messages go in batches');
my $seed = time;
srand $seed;
my $kills = 0;
for (1 .. KILLS) {
	my @victims = grep { $_->{kind} =~ /^(worker|timer)$/ && $_->{pid} } @{ ($v->ctl('status') // {})->{processes} // [] };
	$kills += kill 'KILL', $victims[ rand @victims ]{pid} if @victims;
	my $go_on = $v->stat_of('datagrams_in') + 300 + rand 300;
	wait_for(sub { $v->stat_of('datagrams_in') > $go_on }, 5) or last;
}
sipp_ok(CALLS . " calls, $kills kills (seed $seed)", $uac, $uas) or $v->tell;
is(scalar(@{ $v->wait_records(CALLS) }), CALLS, 'each call has its record');
cmp_ok($v->stat_of('repairs'), '>=', KILLS / 2, 'deaths repaired: ' . $v->stat_of('repairs'));
$v->done_ok;
done_testing;
