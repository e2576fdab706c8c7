"""The facts that the chat domain asks about: what a child of eight knows."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A question, a statement with a hole for the answer, what people get wrong, and more to say about it."""

    question: str
    statement: str
    answer: str
    wrong: list[str]
    more: list[str]


_ROWS = [
    # question, statement, answer, wrong answers, more to say
    ("What do bees make?", "bees make {}", "honey", ["milk", "wool"],
     ["They carry sweet juice from the flowers to the hive.", "People like it on bread and in tea."]),
    ("What do hens lay?", "hens lay {}", "eggs", ["stones", "apples"],
     ["A hen sits on them to keep them warm.", "The farmer collects them every morning."]),
    ("What do sheep give us?", "sheep give us {}", "wool", ["honey", "silk"],
     ["The farmer cuts it in spring.", "We use it for warm socks and scarfs."]),
    ("What do cows give us?", "cows give us {}", "milk", ["honey", "wool"],
     ["They eat grass all day long.", "People make butter and cheese from it."]),
    ("What do spiders make?", "spiders make {}", "webs", ["nests", "honey"],
     ["They catch flies in them.", "The thin threads shine in the morning."]),
    ("What is a young dog called?", "a young dog is called a {}", "puppy", ["kitten", "calf"],
     ["It likes to play and to sleep.", "It drinks milk from its mother."]),
    ("What is a young cat called?", "a young cat is called a {}", "kitten", ["puppy", "lamb"],
     ["It likes to play with a ball of wool.", "It drinks milk from its mother."]),
    ("What is a young cow called?", "a young cow is called a {}", "calf", ["foal", "puppy"],
     ["It stays close to its mother.", "It lives on a farm and drinks milk."]),
    ("What is a young sheep called?", "a young sheep is called a {}", "lamb", ["calf", "kitten"],
     ["It is born in spring.", "It jumps over the green grass."]),
    ("What is a young horse called?", "a young horse is called a {}", "foal", ["calf", "lamb"],
     ["It can stand on the day it is born.", "It runs beside its mother."]),
    ("What is a young frog called?", "a young frog is called a {}", "tadpole", ["chick", "puppy"],
     ["It lives in the water and has a tail.", "Later it grows four legs."]),
    ("Where do bees live?", "bees live in a {}", "hive", ["nest", "cave"],
     ["Thousands of them live together.", "They have one queen."]),
    ("Where do birds lay their eggs?", "birds lay their eggs in a {}", "nest", ["hive", "cave"],
     ["They build it with grass and small sticks.", "It is often high up in a tree."]),
    ("Where do fish live?", "fish live in {}", "water", ["trees", "sand"],
     ["Some live in the sea and some in rivers.", "They swim with their tails."]),
    ("What colour is the sky on a clear day?", "the sky is {} on a clear day", "blue", ["green", "brown"],
     ["In the evening it can turn red.", "At night it is black and full of stars."]),
    ("What colour is grass?", "grass is {}", "green", ["blue", "red"],
     ["Cows and sheep like to eat it.", "In a dry summer it turns yellow."]),
    ("What colour is snow?", "snow is {}", "white", ["black", "green"],
     ["It falls from the clouds in winter.", "It is cold and soft."]),
    ("What colour is a lemon?", "a lemon is {}", "yellow", ["blue", "black"],
     ["It tastes very sour.", "It grows on a tree in warm places."]),
    ("What colour is a carrot?", "a carrot is {}", "orange", ["blue", "white"],
     ["It grows under the ground.", "Rabbits and horses like to eat it."]),
    ("How many days are in a week?", "a week has {} days", "seven", ["five", "ten"],
     ["It begins on Monday and ends on Sunday.", "Many people rest on Sunday."]),
    ("How many months are in a year?", "a year has {} months", "twelve", ["seven", "ten"],
     ["The first one is January.", "The last one is December."]),
    ("How many legs does a spider have?", "a spider has {} legs", "eight", ["four", "six"],
     ["It walks on them over its web.", "It likes to sit in dark corners."]),
    ("How many wheels does a bicycle have?", "a bicycle has {} wheels", "two", ["three", "four"],
     ["You turn them with your feet.", "It also has a bell and a light."]),
    ("What day comes after Monday?", "{} comes after Monday", "Tuesday", ["Friday", "Sunday"],
     ["It is the second day of the week.", "Most children go to school on that day."]),
    ("What season comes after winter?", "{} comes after winter", "spring", ["autumn", "summer"],
     ["The snow melts and the flowers open.", "The birds come back and sing."]),
    ("What season comes after summer?", "{} comes after summer", "autumn", ["spring", "winter"],
     ["The leaves turn red and yellow.", "The days get shorter and colder."]),
    ("What does water become when it freezes?", "water becomes {} when it freezes", "ice", ["sand", "steam"],
     ["It is hard and very cold.", "In winter it covers the lakes."]),
    ("What do plants need to grow?", "plants need light and {} to grow", "water", ["milk", "ice"],
     ["They drink it with their roots.", "They turn their leaves to the sun."]),
    ("What gives us light during the day?", "the {} gives us light during the day", "sun", ["moon", "rain"],
     ["It also keeps us warm.", "It comes up in the morning and goes down in the evening."]),
    ("What do we see in the sky at night?", "we see the moon and the {} at night", "stars", ["fish", "bees"],
     ["They look small because they are far away.", "Clouds can hide them."]),
    ("Who bakes bread?", "a {} bakes bread", "baker", ["pilot", "doctor"],
     ["The work begins very early in the morning.", "The oven must be hot."]),
    ("Who helps sick people?", "a {} helps sick people", "doctor", ["baker", "pilot"],
     ["Many doctors work in a hospital.", "Doctors know what is good for us."]),
    ("Who flies a plane?", "a {} flies a plane", "pilot", ["farmer", "baker"],
     ["A pilot sits at the very front of it.", "It takes years to learn this work."]),
    ("Who teaches children at school?", "a {} teaches children at school", "teacher", ["farmer", "pilot"],
     ["They learn to read and to write.", "The lessons begin in the morning."]),
    ("What do we use to cut paper?", "we use {} to cut paper", "scissors", ["spoons", "soap"],
     ["They have two sharp sides.", "Children should be careful with them."]),
    ("What do we use to open a lock?", "we use a {} to open a lock", "key", ["spoon", "broom"],
     ["It must have the right shape.", "It is small, so do not lose it."]),
    ("What do we use to sweep the floor?", "we use a {} to sweep the floor", "broom", ["spoon", "key"],
     ["It has a long handle.", "It takes away dust and sand."]),
    ("What do we use to read the time?", "we use a {} to read the time", "clock", ["broom", "lamp"],
     ["It has a short hand and a long hand.", "It hangs on the wall and ticks."]),
]  # fmt: skip

FACTS = [
    Fact(question=question, statement=statement, answer=answer, wrong=wrong, more=more)
    for question, statement, answer, wrong, more in _ROWS
]
