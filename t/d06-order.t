# SPDX-License-Identifier: GPL-2.0-or-later
# Messages of one call are never reordered, however many workers there are: requests of ten calls, sent in one burst from one port, come out in their
# order; so do the messages of a set-up that come all at once. Once more with workers dying meanwhile.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of sipp sipp_ok);
use Velador::Peer;

use constant { CALLS => 10, REQUESTS => 6, ROUNDS => 8, LOAD => 4000 };

# What that peer has got of a kind, by call: the CSeq numbers in order of arrival, repeats left out.
sub order_at {
	my ($peer, $method) = @_;
	my (%order, %seen);
	for (grep { ($_->{method} // '') eq $method } @{ $peer->{inbox} }) {
		push @{ $order{ $_->call_id } }, $_->cseq unless $seen{ $_->call_id . ' ' . $_->cseq }++;
	}
	return \%order;
}

sub burst_in_order {
	my ($title, $from, $to, $kill, @dialogs) = @_;
	my $wrong = 0;
	for (1 .. ROUNDS) {
		for my $n (1 .. REQUESTS) {
			$_->send('INFO', body => $n, type => 'text/plain') for @dialogs;
			$kill->() if $n == REQUESTS / 2;
		}
		Velador::wait_for(sub { Velador::Peer::pump(0.01); my $o = order_at($to, 'INFO'); return CALLS == grep { @$_ == REQUESTS } values %$o }, 5, 'every INFO');
		my $order = order_at($to, 'INFO');
		$wrong += grep { join(' ', @$_) ne join(' ', sort { $a <=> $b } @$_) || @$_ != REQUESTS } values %$order;
		$to->reply($_, 200) for grep { ($_->{method} // '') eq 'INFO' } $to->drain;
		my %answered;
		Velador::wait_for(sub { Velador::Peer::pump(0.01); $answered{ $_->call_id . $_->cseq }++ for grep { $_->cseq_method eq 'INFO' } $from->drain; return keys %answered == CALLS * REQUESTS }, 5, 'every answer');
	}
	is($wrong, 0, "$title: " . ROUNDS * CALLS * REQUESTS . ' requests in a burst, each call\'s in order');
	return;
}

for my $workers (2, 4) {
	my $carrier = Velador::Peer->new(name => 'carrier');
	my $v = Velador->start(velador => { workers => $workers }, plan_of(carrier => $carrier->addr));
	my $phone = Velador::Peer->new(name => 'phone', to => $v->addr);
	my @calls = map { [$phone->call($carrier, ring => 0)] } 1 .. CALLS;
	my $die = sub {
		my @pids = map { $_->{pid} } grep { $_->{kind} eq 'worker' } @{ $v->ctl('status')->{processes} };
		kill 'KILL', $pids[rand @pids];
	};
	burst_in_order("$workers workers, from the caller", $phone, $carrier, sub { }, map { $_->[0] } @calls);
	burst_in_order("$workers workers, from the callee", $carrier, $phone, sub { }, map { $_->[1] } @calls);
	burst_in_order("$workers workers, one of which dies", $phone, $carrier, $die, map { $_->[0] } @calls);

	# 180, 200 and a re-INVITE that comes on their heels.
	my $wrong = 0;
	for (1 .. 20) {
		my $d = $phone->dialog;
		$d->invite;
		my $invite = $carrier->want('INVITE', call_id => $d->{call_id}) or last;
		$phone->want(100, call_id => $d->{call_id});
		my $b = $carrier->dialog_of($invite);
		$carrier->reply($invite, 180, contact => 1);
		$carrier->reply($invite, 183, contact => 1);
		$carrier->reply($invite, 200, sdp => 1);
		my $ok = $phone->want('200/INVITE', call_id => $d->{call_id}) or last;
		my @before = map { $_->{status} } grep { $_->call_id eq $d->{call_id} && $_->{time} <= $ok->{time} } @{ $phone->{inbox} };
		$wrong++ if "@before" ne '180 183';
		$d->learn($ok)->ack;
		$d->send('INFO', body => 'x', type => 'text/plain');
		$d->bye;
		my @got;
		Velador::wait_for(sub { Velador::Peer::pump(0.01); push @got, grep { $_->call_id eq $d->{call_id} && $_->{method} } $carrier->drain; return grep { $_->{method} eq 'BYE' } @got }, 5, 'the BYE');
		$wrong++ if join(' ', map { $_->{method} } @got) ne 'ACK INFO BYE';
		$carrier->reply($_, 200) for grep { $_->{method} ne 'ACK' } @got;
		$phone->want('200/BYE', call_id => $d->{call_id});
		$phone->drain;
	}
	is($wrong, 0, "$workers workers: 180, 183, 200, and ACK, INFO, BYE at once, in order");
	is(scalar(grep { $phone->hang_up(@$_) } @calls), CALLS, 'the calls work');
	$v->done_ok;
}

# The same while so much else comes that the workers take each other's messages.
{
	my $carrier = Velador::Peer->new(name => 'carrier');
	my $port = Velador::free_port();
	my $v = Velador->start(velador => { workers => 2, max_calls => 10_000 }, plan_of(carrier => $carrier->addr, load => { address => "127.0.0.1:$port", prefix => '77' }));
	my $phone = Velador::Peer->new(name => 'phone', to => $v->addr);
	my @calls = map { [$phone->call($carrier, ring => 0)] } 1 .. CALLS;
	my $uas = sipp(scenario => 'uas-basic', port => $port, count => LOAD, timeout => 60);
	my $uac = sipp(scenario => 'uac-basic', to => $v->addr, count => LOAD, rate => LOAD / 8, timeout => 60, args => ['-d', 100, '-s', '77100', '-l', 10000]);
	ok(Velador::wait_for(sub { $v->stat_of('datagrams_shared') > 100 }, 20), 'workers look at each other\'s sockets');
	my $before = $v->stat_of('datagrams_shared');
	burst_in_order('busy workers, from the caller', $phone, $carrier, sub { }, map { $_->[0] } @calls);
	burst_in_order('busy workers, from the callee', $carrier, $phone, sub { }, map { $_->[1] } @calls);
	cmp_ok($v->stat_of('datagrams_shared') - $before, '>', 200, 'which they did meanwhile');
	sipp_ok('the other calls', $uac, $uas) or $v->tell;
	is(scalar(grep { $phone->hang_up(@$_) } @calls), CALLS, 'the calls work');
	$v->done_ok;
}
done_testing;
