# SPDX-License-Identifier: GPL-2.0-or-later
# Session parameters changed by a reload; a timer process that was away, stopped or killed.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of);
use Velador::Endpoint;

my $gw = Velador::Endpoint->new(name => 'gw');
my $v = Velador->start(
	plan_of(carrier => { prefix => '1', address => $gw->addr }, watched => { prefix => '2', address => $gw->addr, ttl => '5s', refresher => 'endpoint' }, short => { prefix => '3', address => $gw->addr, ttl => '3s' }),
	session    => { ttl => '6s', no_timer_interval => 0 },
	retransmit => { t1 => '50ms', t2 => '400ms', give_up => '2s' },
	velador    => { heartbeat => '60s' });
my $phone = Velador::Endpoint->new(name => 'phone', to => $v->addr, timer => 0);

sub live { return Velador::Endpoint::live(@_) }
sub has { my ($peer, $call, $n) = @_; return live(sub { @{ $peer->refreshes($call) } >= $n }, 8, "refresh $n at the $peer->{name}") }
sub timer_pid { return (map { $_->{kind} eq 'timer' ? $_->{pid} : () } @{ $v->ctl('status')->{processes} })[0] }

{
	my $old = $phone->talk($gw, user => 1);
	$v->change_ini(session => { ttl => '4s', update_segment => 4 });
	my $before = $v->stat_of('reloads');
	$v->ctl_raw('reload');
	$v->wait_stat('reloads', $before + 1);
	my $new = $phone->talk($gw, user => 1);
	is($new->{invite}->h('Session-Expires'), '4;refresher=uac', 'after a reload new calls get the new interval');
	has($gw, $old, 2);
	my @m = @{ $gw->refreshes($old) };
	is($m[0]->h('Session-Expires'), '4;refresher=uac', 'running ones at their next refresh');
	my $since = $m[1]{time} - $m[0]{time};
	ok($since > 0.85 && $since < 1.1, 'and keep to it, in its new segments') or diag($since);
	$phone->leave($_) for $old, $new;
}
{
	# Stopped for 6 s: all refreshes were due and all sessions over meanwhile.
	my @calls = map { $phone->talk($gw, user => 3) } 1 .. 20;
	my $watched = $phone->talk($gw, user => 2, answer => { headers => [['Session-Expires', '5;refresher=uas'], ['Supported', 'timer']] });
	my @dead = map { $phone->talk($gw, user => 3) } 1 .. 16;
	$gw->dies($_) for @dead;
	my $pid = timer_pid();
	kill 'STOP', $pid;
	live(sub { 0 }, 6.2);
	is((map { @{ $gw->refreshes($_) } } @calls, @dead) + 0, 0, 'nothing happens while the timer process is stopped');
	my %id = map { $_->{call_id} => $_->{id} } @{ $v->ctl('calls') };
	my ($acted, $back) = ($v->stat_of('timer_actions'), Time::HiRes::time());
	kill 'CONT', $pid;
	$v->wait_stat('timer_actions', $acted + @calls + @dead);
	# Drawn evenly from 30 s. That all thirty-six keep out of one half of them has a chance of 1 in 10^10; where they are not spread, they do.
	my @planned = sort { $a <=> $b } map { my $leg = ($v->ctl('call', $id{ $_->{call_id} }) // {})->{legs}[1]; $leg ? $leg->{next_in_s} + Time::HiRes::time() - $back : () } @calls, @dead;
	is(scalar(@planned), @calls + @dead, 'every overdue call goes on');
	ok($planned[0] < 15 && $planned[-1] > 15 && $planned[-1] < 31, 'overdue refreshes are spread over 30 s') or diag("@planned");
	live(sub { grep { @{ $gw->byes($_) } } @dead }, 35, 'the first dead one to end');
	my @over = grep { @{ $gw->byes($_) } } @dead;
	is((grep { @{ $gw->refreshes($_) } < 6 } @over), 0, 'a dead one ends after one refresh with all its resends');
	is($v->wait_record_of($over[0]{call_id}, 10)->{reason}, 'session_expired', 'with its reason');
	is((grep { @{ $gw->byes($_) } } @calls), 0, 'no living call is cut');
	# Whom the endpoint should refresh is asked once; then it is for the endpoint again.
	my ($asked) = @{ $gw->refreshes($watched) };
	ok(!(grep { !$asked || $_->{time} < $asked->{time} + 4.9 } @{ $gw->byes($watched) }), 'nor one that the endpoint refreshes');
	my @left = grep { !@{ $phone->byes($_) } } @dead;
	$_->{caller}->bye for @left;
	$phone->want('200/BYE', call_id => $_->{call_id}) for @left;
	is(timer_pid(), $pid, 'the same process all the time');
	$phone->leave($_) for @calls, grep { !@{ $phone->byes($_) } } $watched;
}
{
	my @calls = map { $phone->talk($gw, user => 3) } 1 .. 10;
	my $end = Velador::now() + 5;
	while (Velador::now() < $end) {
		kill 'KILL', timer_pid() // next;
		live(sub { 0 }, 1);
	}
	is((grep { @{ $gw->byes($_) } } @calls), 0, 'a timer process killed every second: no call is cut');
	is((grep { @{ $gw->refreshes($_) } < 3 } @calls), 0, 'and every one is refreshed') or diag(map { scalar(@{ $gw->refreshes($_) }) . ' ' } @calls);
	$phone->leave($_) for @calls;
}
$v->done_ok;
done_testing;
