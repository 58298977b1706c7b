# SPDX-License-Identifier: GPL-2.0-or-later
# Re-INVITEs that an endpoint rings for and does not answer: Timer C, the CANCEL, and what comes after it.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of);
use Velador::Peer;

my $carrier = Velador::Peer->new(name => 'carrier');
my $timed = Velador::Peer->new(name => 'timed');
my $v = Velador->start(plan_of(carrier => { address => $carrier->addr, prefix => 1, ring_timeout => '1s' }, slow => { address => $carrier->addr, prefix => 2 },
	timed => { address => $timed->addr, prefix => 3, ttl => '1s', min_se => '1s', give_up => '600ms', no_timer_interval => 0, timeout_early_hangup => '60s' }),
	session => { no_timer_interval => 0 });
my $phone = Velador::Peer->new(name => 'phone', to => $v->addr);
my $no_answer = 'SIP;cause=408;text="No answer"';

sub up { my ($d, $what, %o) = @_; return $phone->want($what, call_id => $d->{call_id}, %o) // BAIL_OUT("the caller waits for $what") }
sub down { my ($d, $what, %o) = @_; return $carrier->want($what, call_id => $d->{call_id}, %o) // BAIL_OUT("the gateway waits for $what") }
sub fresh { $_->drain for $phone, $carrier, $timed; return }
sub port { my $m = shift; return $m && $m->{body} =~ /^m=audio (\d+)/m ? $1 : 0 }
# A call whose caller sends a re-INVITE, for which the callee rings.
sub pending {
	my (%o) = @_;
	my ($a, $b) = $phone->call($carrier, user => '100');
	$a->invite(%o);
	my $re = down($a, 'INVITE');
	$carrier->reply($re, 180, contact => 1);
	up($a, 180);
	return ($a, $b, $re);
}
# Timer C: the callee is canceled.
sub canceled {
	my ($a, $re, $since) = @_;
	my $cancel = down($a, 'CANCEL', timeout => 3);
	is($cancel->branch, $re->branch, 'RFC3261-16.8 Timer C of a re-INVITE: CANCEL, with its branch');
	is($cancel->h('Reason'), $no_answer, 'RFC3326-2 which says why');
	cmp_ok(abs($cancel->{time} - $since - 1), '<', 0.2, 'after ring_timeout') if $since;
	$carrier->reply($cancel, 200);
	return;
}

# What takes long begins first: a callee that answers neither the re-INVITE nor its CANCEL.
my @deaf = map { [pending(@$_)] } [sdp => { port => 41000 }], [body => ''];
canceled($_->[0], $_->[2]) for @deaf;
{
	my ($a, $b, $re) = pending();
	canceled($a, $re, Time::HiRes::time());
	ok($phone->never(sub { ($_[0]{status} // 0) >= 200 }, 0.1), 'RFC3261-16.7 its answer is awaited');
	$carrier->reply($re, 487);
	my $end = up($a, '487/INVITE');
	ok($end, 'RFC3261-16.7 and passes');
	$a->ack_failure($end);
	ok(down($a, 'ACK'), 'RFC3261-17.1.1.3 having been ACKed');
	ok($phone->hang_up($a, $b), 'RFC3261-14.1 the call goes on');
	fresh();
	($a, $b, $re) = pending(sdp => { port => 41000 });
	canceled($a, $re);
	$carrier->reply($re, 180);
	ok($phone->want(180, call_id => $a->{call_id}), 'RFC3261-9.1 a callee that rings on');
	$carrier->reply($re, 200, sdp => { port => 42000 });
	is(port(up($a, '200/INVITE')), 42000, 'RFC3261-16.7 and whose 200 crosses the CANCEL: the caller has it');
	$a->ack;
	my $ack = down($a, 'ACK');
	is($ack->cseq, $re->cseq, 'RFC3261-13.2.2.4 and ACKs it');
	$carrier->reply($re, 200, sdp => { port => 42000 });
	is(down($a, 'ACK')->{raw}, $ack->{raw}, 'again to a repeat');
	ok($phone->hang_up($a, $b), 'the call goes on');
	fresh();
}
# The other way round: the callee's re-INVITE, for which the caller rings.
{
	my ($a, $b) = $phone->call($carrier, user => '100');
	$b->invite;
	my $re = up($a, 'INVITE');
	$phone->reply($re, 180, contact => 1);
	down($a, 180);
	my $cancel = up($a, 'CANCEL', timeout => 3);
	is($cancel->branch, $re->branch, 'RFC3261-16.8 a callee\'s re-INVITE: CANCEL to the caller');
	$phone->reply($cancel, 200);
	$phone->reply($re, 487);
	my $end = down($a, '487/INVITE');
	$b->ack_failure($end);
	ok($phone->hang_up($a, $b), 'the call goes on');
	fresh();
}
# One of our own.
{
	my ($a, $b) = $phone->call($timed, user => '300', answer => { headers => [['Supported', 'timer'], ['Session-Expires', '1;refresher=uac'], ['Require', 'timer']] });
	my $re = $timed->want('INVITE', call_id => $a->{call_id}) or BAIL_OUT('no refresh');
	$timed->reply($re, 100);
	my $cancel = $timed->want('CANCEL', call_id => $a->{call_id});
	is($cancel ? $cancel->branch : 'none', $re->branch, 'RFC3261-9.1 a refresh of ours that gets no more than 100: CANCEL');
	$timed->reply($cancel, 200) if $cancel;
	$timed->reply($re, 200, sdp => 1, headers => [['Supported', 'timer'], ['Session-Expires', '1000;refresher=uac'], ['Require', 'timer']]);
	ok($timed->want('ACK', call_id => $a->{call_id}), 'RFC3261-13.2.2.4 a 200 that crosses it is ACKed');
	ok($phone->hang_up($a, $b), 'and the call goes on');
	fresh();
}
# The Reason of a CANCEL that has to wait.
{
	my $elsewhere = 'SIP;cause=200;text="elsewhere"';
	my ($a, $b) = $phone->call($carrier, user => '200');
	$a->invite;
	my $re = down($a, 'INVITE');
	$a->cancel(headers => [['Reason', $elsewhere], ['Reason', 'Q.850;cause=31', 1]]);
	up($a, '200/CANCEL');
	ok($carrier->never('CANCEL', 0.1), 'RFC3261-9.1 CANCEL of a re-INVITE before any answer waits');
	$carrier->reply($re, 100);
	my $cancel = down($a, 'CANCEL');
	is(join(', ', $cancel->all('Reason')), "$elsewhere, Q.850;cause=31", 'RFC3326-2 and then has its Reasons');
	$carrier->reply($cancel, 200);
	$carrier->reply($re, 487);
	$a->ack_failure(up($a, '487/INVITE'));
	down($a, 'ACK');
	ok($phone->hang_up($a, $b), 'the call goes on');
	is($v->wait_record_of($a->{call_id})->{q850}, undef, 'they say nothing of the call\'s end');
}
# The callee's 200 comes when the caller has had his 408.
for my $deaf (@deaf) {
	my ($a, $b, $re) = @$deaf;
	my $end = up($a, '408/INVITE', timeout => 40);
	ok($end, 'RFC3261-9.1 no answer to re-INVITE and CANCEL: 408') or next;
	$a->ack_failure($end);
	my $late = $re->{body} eq '';
	$carrier->reply($re, 200, sdp => { port => 43000, version => 3 });
	my $ack = down($a, 'ACK');
	is($ack->cseq, $re->cseq, 'RFC3261-13.2.2.4 a 200 that comes after it is ACKed by us');
	is(port($ack), $late ? 40000 : 0, $late ? 'RFC3264-6 and its offer answered with what the caller said last' : 'its offer was answered');
	$carrier->reply($re, 200, sdp => { port => 43000, version => 3 });
	is(down($a, 'ACK')->{raw}, $ack->{raw}, 'a repeat gets it again');
	my %told;
	my $tell = up($a, 'INVITE');
	$told{ $tell->branch } = 1;
	is(port($tell), 43000, 'RFC3264-8 the caller is told what the callee says now');
	$phone->reply($tell, 200, sdp => { port => 40000 });
	up($a, 'ACK');
	if (!$late) {
		my $back = down($a, 'INVITE');
		$told{ $back->branch } = 1;
		is(port($back), 40000, 'and the callee that the caller has stayed where he was');
		$carrier->reply($back, 200, sdp => { port => 43000, version => 3 });
		down($a, 'ACK');
	}
	# A repeat is nothing more: what one process has published and not yet sent, another sends before its own (shm/README, F), and so both may.
	my $more = sub { ($_[0]{method} // '') eq 'INVITE' && !$told{ $_[0]->branch } };
	ok($phone->never($more, 0.2) && $carrier->never($more, 0.05), 'nothing more is told');
	ok($phone->hang_up($a, $b), 'the call goes on');
}
$v->done_ok;
done_testing;
