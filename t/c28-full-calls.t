# SPDX-License-Identifier: GPL-2.0-or-later
# A call ends though all of its sixteen transactions are taken: by what only absorbs repeats, and by requests that nobody answers.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of);
use Velador::Peer;

my $carrier = Velador::Peer->new(name => 'carrier');
my $v = Velador->start(
	plan_of(carrier => { address => $carrier->addr, prefix => 1 },
		limited => { address => $carrier->addr, prefix => 2, max_call_duration => '1s' },
		asked => { address => $carrier->addr, prefix => 3, no_timer_interval => '1s', no_timer_action => 'reinvite', give_up => '500ms' }));
my $phone = Velador::Peer->new(name => 'phone', to => $v->addr);

# A call with as many INFOs as find room, answered or open.
sub full {
	my ($user, $answered) = @_;
	my ($a, $b) = $phone->call($carrier, user => $user);
	my @infos;
	for (1 .. 7) {
		$a->send('INFO', body => 'x', type => 'text/plain');
		my $info = $carrier->want('INFO', call_id => $a->{call_id}) or last;
		push @infos, $info;
		next unless $answered;
		$carrier->reply($info, 200);
		$phone->want('200/INFO', call_id => $a->{call_id}) or last;
	}
	is(scalar(@infos), 7, 'INVITE and seven INFOs: all places are taken') if $user ne '300';
	return ($a, $b, @infos);
}
# Both sides get that request and answer it; returns what came, the gateway's first.
sub hung_up {
	my ($a, $reason, $title) = @_;
	my @byes = map { $_->want('BYE', call_id => $a->{call_id}) } $carrier, $phone;
	is(scalar(grep { defined } @byes), 2, $title);
	$carrier->reply($byes[0], 200) if $byes[0];
	$phone->reply($byes[1], 200) if $byes[1];
	is($v->wait_record_of($a->{call_id})->{reason}, $reason, 'one record');
	return @byes;
}
# How many of its INFOs were answered so.
sub answered {
	my ($a, $status) = @_;
	my @all = grep { $_->call_id eq $a->{call_id} } $phone->drain;
	return scalar grep { $_->name eq "$status/INFO" } @all;
}
sub id_of { my $a = shift; return (grep { $_->{call_id} eq $a->{call_id} } @{ $v->ctl('calls') })[0]{id} }

{
	my ($a, $b, @infos) = full('100', 1);
	is(($v->ctl_raw('hangup', id_of($a)))[0], 0, 'the operator hangs up while all only absorb repeats');
	my ($bye) = hung_up($a, 'admin', 'both sides hear of it');
	cmp_ok($bye->cseq, '>', $infos[-1]->cseq, 'RFC3261-12.2.1.1 with a higher number') if $bye;
	$carrier->reply($b->{invite}, 200, sdp => 1);
	my $ack = $carrier->want('ACK', call_id => $a->{call_id});
	is($ack ? $ack->{raw} : '', $b->{ack}{raw}, 'RFC3261-13.2.2.4 the INVITE has only changed its place: a repeated 200 gets the ACK');
	$carrier->reply($bye, 200);
	ok($carrier->never(sub { 1 }, 0.05), 'and nothing else is sent');
}
{
	my ($a, $b, @infos) = full('100', 0);
	is(($v->ctl_raw('hangup', id_of($a)))[0], 0, 'the operator hangs up while seven are open');
	hung_up($a, 'admin', 'both sides hear of it');
	is(answered($a, 487), 7, 'RFC3261-15.1.2 the open requests get 487');
	$carrier->reply($infos[3], 200);
	ok($phone->never('200/INFO', 0.1), 'what is answered later goes no further');
}
{
	my ($a, $b, @infos) = full('100', 0);
	$b->bye;
	my $bye = $phone->want('BYE', call_id => $a->{call_id});
	ok($bye, 'a BYE while seven are open passes');
	$phone->reply($bye, 200) if $bye;
	ok($carrier->want('200/BYE', call_id => $a->{call_id}), 'with its answer');
	is(answered($a, 487), 7, 'RFC3261-15.1.2 the open requests get 487');
	is($v->wait_record_of($a->{call_id})->{ended_by}, 'callee', 'one record');
}
{
	my ($a) = full('200', 0);
	hung_up($a, 'max_duration', 'a limit is reached while seven are open: both sides get BYE');
	is(answered($a, 487), 7, 'RFC3261-15.1.2 the open requests get 487');
}
{
	# The question whether an endpoint lives takes a place; that it found no answer, and the BYEs, more.
	my ($a) = full('300', 1);
	my $question = $carrier->want('INVITE', call_id => $a->{call_id});
	ok($question, 'RFC3261-14.1 a callee without timer is asked');
	hung_up($a, 'no_timer_dead', 'and does not answer: both sides get BYE');
	$carrier->drain;
}
$v->done_ok;
done_testing;
