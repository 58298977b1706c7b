# SPDX-License-Identifier: GPL-2.0-or-later
# Twinkle, another agent that nobody here wrote: with 100rel disabled, preferred or required, as a caller and as a callee.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of);
use Velador::Twinkle;
use Velador::Peer;

plan(skip_all => Velador::Twinkle::lacks()) if Velador::Twinkle::lacks();
my %t = map { $_ => Velador::Twinkle->start(name => $_, '100rel' => $_ =~ s/^\w//r) } qw(apreferred arequired adisabled bpreferred brequired bdisabled);
my $gw = Velador::Peer->new(name => 'gw');
my $v = Velador->start(
	plan_of((map { ($_ => { address => $t{$_}->addr, prefix => $_ }) } qw(bpreferred brequired bdisabled)),
		gw => { address => $gw->addr, prefix => 'gw' }),
	reliable => { '100rel' => 'supported' }, retransmit => { t1 => '200ms' });
my ($at, $calls) = ($v->addr, 0);

# Which of the legs are reliable: the caller's, unless he has it disabled; the callee's, if he wants it.
for my $from (qw(apreferred arequired adisabled)) {
	for my $to (qw(bpreferred brequired bdisabled)) {
		my ($a, $b) = @t{$from, $to};
		$v->wait_no_calls;
		my $want = ($from eq 'adisabled' ? 'none' : 'used') . ' ' . ($to eq 'bdisabled' ? 'offered' : 'used');
		$a->say("call sip:$to\@$at");
		ok($b->sees('incoming call') && $a->sees('received 180 Ringing'), "$from to $to: it rings");
		$b->say('answer');
		ok($a->sees('far end answered call') && $b->sees('call established'), 'the call comes about');
		$a->say('bye');
		ok($b->sees('far end ended call'), 'and ends');
		my $r = $v->wait_records(++$calls)->[-1];    # not by Call-ID: those that start in one second draw the same
		is("$r->{reason} $r->{caller_100rel} $r->{callee_100rel}", "normal $want", 'RFC3262-3 each leg did what it can');
	}
}
my $s = $v->stats;
is("$s->{pracks_received} $s->{pracks_unmatched} $s->{pracks_sent} $s->{pracks_refused} $s->{prack_timeouts}", '6 0 6 0 0', 'RFC3262-4 a PRACK for each, all of them good');
{
	$t{apreferred}->say("call sip:gw\@$at");
	my $invite = $gw->want('INVITE') or BAIL_OUT('no INVITE');
	$gw->reply($invite, 180, contact => '');
	$gw->reply($invite, 183, sdp => 1);
	ok($t{apreferred}->sees('received 180') && $t{apreferred}->sees('received 183'), 'a gateway without 100rel: it gets the 180 and the 183');
	$gw->reply($invite, 200);
	ok($t{apreferred}->sees('far end answered call'), 'and is answered, by a 200 without description');
	$t{apreferred}->say('bye');
	my $bye = $gw->want('BYE');
	$gw->reply($bye, 200) if $bye;
	is($v->wait_records(10)->[9]{caller_100rel}, 'used', 'reliably');
	is($v->stat_of('pracks_received'), 8, 'RFC3262-4 both acknowledged');
}
$v->done_ok;
%t = ();
done_testing;
