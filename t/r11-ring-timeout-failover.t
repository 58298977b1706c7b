# SPDX-License-Identifier: GPL-2.0-or-later
# Each 1xx starts ring_timeout anew (RFC 3261 16.6, Timer C). A gateway that rang for longer than that and then failed leaves the next one its time.
# Found by the simulator: the limit counted from the INVITE again, so the next gateway was called and canceled at once.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of);
use Velador::Peer;

my %peer = map { $_ => Velador::Peer->new(name => $_) } qw(first second);
my $v = Velador->start(
	plan_of(
		first  => { address => $peer{first}->addr, priority => 1 },
		second => { address => $peer{second}->addr, priority => 2 }),
	session => { ring_timeout => '1s' });
my $phone = Velador::Peer->new(name => 'phone', to => $v->addr);

my $d = $phone->dialog;
$d->invite;
my $invite = $peer{first}->want('INVITE') or BAIL_OUT('no call comes through');
for (1 .. 3) {
	$peer{first}->reply($invite, 180, contact => 1);
	ok($phone->want(180), "ringing $_");
	ok($phone->never(408, 0.5), 'RFC3261-16.6 each 180 starts the timer anew');
}
$peer{first}->reply($invite, 503);
my $next = $peer{second}->want('INVITE');
ok($next, 'then the gateway fails, and the next one is called') or BAIL_OUT('no failover');
ok($peer{second}->never('CANCEL', 0.1), 'and not canceled at once');
$peer{second}->reply($next, 200, sdp => 1);
my $ok = $phone->want('200/INVITE');
ok($ok, 'it answers');
$d->learn($ok)->ack if $ok;
ok($phone->hang_up($d, $peer{second}->dialog_of($next)), 'the call works') if $ok;
done_testing;
