# SPDX-License-Identifier: GPL-2.0-or-later
# A gateway that said nothing is given up, its INVITE stays open for a while: no refresh of the call that came about elsewhere waits for that.
# Found by the simulator: the session expired, and a living call was cut.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of);
use Velador::Endpoint;
use Velador::Peer;

my $silent = Velador::Peer->new(name => 'silent');
my $gw = Velador::Endpoint->new(name => 'gw');
my $v = Velador->start(
	plan_of(
		silent => { address => $silent->addr, priority => 1, invite_timeout => '200ms', give_up => '30s' },
		second => { address => $gw->addr, priority => 2 }),
	session => { ttl => '2s', no_timer_interval => '0' });
my $phone = Velador::Endpoint->new(name => 'phone', to => $v->addr);

my $call = $phone->talk($gw, interval => 2);
ok($call, 'a call that came about at the second gateway') or BAIL_OUT('no call');
ok($silent->want('INVITE', call_id => $call->{call_id}), 'the first had its INVITE');
for my $peer ($phone, $gw) {
	ok(Velador::Endpoint::live(sub { @{ $peer->refreshes($call) } >= 2 }, 4, "two refreshes at the $peer->{name}"), "RFC4028-7.4 the $peer->{name} is refreshed meanwhile");
}
is(@{ $gw->byes($call) } + @{ $phone->byes($call) }, 0, 'nobody is cut');
ok($phone->leave($call), 'clean end');
is($v->wait_record_of($call->{call_id})->{reason}, 'normal', 'the record says so');
done_testing;
